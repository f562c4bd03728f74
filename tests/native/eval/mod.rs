//! Measuring a model on retrieval sets: the measures against pytrec_eval, every form against a plain loop over what
//! `embed` gives, what is kept and what is refused.

mod data;
mod files;
mod forms;
mod measures;
mod mini;
mod resume;
mod runs;
mod sets;
