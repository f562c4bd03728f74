//! `pplx-embed eval`: how good a model finds what it should, on sets in BEIR's format.
//!
//! Texts go through the model once, as float32 with all dimensions; every form and size is made of these vectors, with
//! the bits that `embed` gives. EmbeddedTexts are kept in blocks on disk (`work.rs`) and compared block by block, so that
//! memory does not grow with vectors.

mod bm25;
mod dataset;
mod identity;
mod ids;
mod late;
mod layout;
mod lines;
mod parquet;
mod qrels;
mod report;
mod rows;
mod vectors;
mod work;

use std::path::PathBuf;

use dataset::{Dataset, Oddities, Oddity};
use ids::{DEPTH, IdOrder};
use late::LateScorer;
use pplx_embed::evaluation::{ExactSearch, VectorForm};
use pplx_embed::maxsim::Scorer;
use pplx_embed::model::late::Role;
use pplx_embed::model::{Model, ModelInfo, ModelKind};
use pplx_embed::numbers::Dtype;
use pplx_embed::top_k::TopK;
use pplx_embed::{Error, Progress, Result, Watch};
use report::Measured;
use vectors::{EmbeddedTexts, TextEncoder, Texts};
use work::Blocks;

use super::arguments::Eval;
use super::progress::Console;

/// Measures a model.
pub(crate) fn run(command: &Eval) -> Result<()> {
    // What can be refused without loading gigabytes is refused first.
    if let Some(path) = command.output.as_ref().filter(|path| path.extension().is_none_or(|e| e != "json")) {
        let message = format!("{}, allowed is a .json file", path.display());
        return Err(Error::InvalidArgument { argument: "--output".into(), message });
    }
    let place = match &command.work {
        Some(path) => path.clone(),
        None => command.common.origin.cache_path()?.join("eval"),
    };
    let set = Dataset::load(&command.dataset, command.subset.as_deref(), command.split.as_deref())?;
    let console = Console::new(command.common.origin.quiet);
    tell(&set, &console);
    let model = command.common.load(&console)?;
    let mut run = Evaluation::new(command, &set, &model, &console, place)?;
    let mut measured = run.measure()?;
    if command.bm25 {
        let tops = bm25::search(&set, run.ids.ranks(), &run.skip);
        measured.push(Measured::new("bm25", None, &set, &run.ids, tops));
    }
    console.done();
    if let Some(path) = &command.output {
        report::write(path, run.about(command), &measured)?;
    }
    let Evaluation { embedded, reused, cut, .. } = run;
    console.note(&format!("{embedded} texts embedded, {reused} from {}", run.place.display()));
    if cut > 0 {
        console.note(&format!("note: {cut} texts were cut to the length the model reads"));
    }
    report::print(&measured, command.common.origin.json)
}

/// Says what of the set may surprise.
fn tell(set: &Dataset, console: &Console) {
    let say = |oddity: &Oddity, what: &str| {
        if let Some((first, count)) = oddity {
            console.note(&format!("note: {count} {what}; the first is {first}"));
        }
    };
    let Oddities { unknown_queries, unknown_documents, repeated_judgements, repeated_texts, unjudged, empty, comments } =
        &set.oddities;
    say(unknown_queries, "judgements are of queries that are not there, and count for nothing");
    say(unknown_documents, "judgements are of documents that are not there, and cannot be found");
    say(repeated_judgements, "judgements are there again with the same score, and count once");
    say(repeated_texts, "ids are there again with the same text, and count once");
    say(unjudged, "queries have no judgement and are left out, as in trec_eval");
    say(empty, "texts are empty");
    if *comments > 0 {
        console.note(&format!("note: {comments} lines of judgements begin with # and are comments"));
    }
    let without = set.queries.iter().filter(|q| q.judgements.iter().all(|&j| j <= 0)).count();
    if without > 0 {
        console.note(&format!("note: {without} queries have no relevant document; they count as 0, as in trec_eval"));
    }
}

/// One model on one set.
struct Evaluation<'a> {
    set: &'a Dataset,
    model: &'a Model,
    info: ModelInfo,
    console: &'a Console,
    search: ExactSearch,
    block: usize,
    identity: serde_json::Value,
    place: PathBuf,
    ids: IdOrder,
    /// For each query, the item that is no hit of it.
    skip: Vec<Option<u32>>,
    embedded: usize,
    reused: usize,
    cut: usize,
}

impl<'a> Evaluation<'a> {
    fn new(command: &Eval, set: &'a Dataset, model: &'a Model, console: &'a Console, place: PathBuf) -> Result<Self> {
        let info = model.info();
        let identity = identity::identity(&command.common.origin.model, &info)?;
        let skip = set.queries.iter().map(|query| query.same.filter(|_| command.skip_same_id)).collect();
        let search = ExactSearch { forms: forms(&command.forms, &info)?, sizes: sizes(&command.dimensions, &info)? };
        let (ids, block) = (IdOrder::new(&set.items), command.block as usize);
        let new = Self {
            set,
            model,
            info,
            console,
            search,
            block,
            identity,
            place,
            ids,
            skip,
            embedded: 0,
            reused: 0,
            cut: 0,
        };
        Ok(new)
    }

    /// Every form at every size.
    fn measure(&mut self) -> Result<Vec<Measured>> {
        let queries: Texts<'_> = self.set.queries.iter().map(|query| std::slice::from_ref(&query.text)).collect();
        let mut asked = EmbeddedTexts::default();
        self.each(Role::Query, queries, |_, _, vectors| {
            asked.numbers.extend(vectors.numbers);
            asked.counts.extend(vectors.counts);
            Ok(())
        })?;
        let documents: Texts<'_> = self.set.documents.iter().map(|document| &document.texts[..]).collect();
        let mut tops = vec![TopK::new(DEPTH); self.set.queries.len() * self.search.rankings()];
        if self.info.kind == ModelKind::Late {
            let forms = self.search.forms.clone();
            let late = LateScorer { model: self.model, scorer: Scorer::new(), forms };
            self.each(Role::Document, documents, |run, range, vectors| {
                let spans = run.set.spans(range);
                late.score(&asked, &vectors, &spans, run.ids.ranks(), &run.skip, &mut tops)
            })?;
        } else {
            let dim = self.info.dimensions as usize;
            let asked = self.search.rows(self.model, asked.numbers, dim)?;
            self.each(Role::Document, documents, |run, range, vectors| {
                let rows = run.search.rows(run.model, vectors.numbers, dim)?;
                run.search.score(&asked, &rows, &run.set.spans(range), run.ids.ranks(), &run.skip, &mut tops);
                Ok(())
            })?;
        }
        Ok(self.measured(&tops))
    }

    fn measured(&self, tops: &[TopK<u32>]) -> Vec<Measured> {
        let rankings = self.search.rankings();
        let each = self.search.forms.iter().flat_map(|form| self.search.sizes.iter().map(move |&size| (*form, size)));
        let measured = each.enumerate().map(|(at, (form, size))| {
            let own = tops.iter().skip(at).step_by(rankings).cloned().collect();
            Measured::new(form.name(), Some(size), self.set, &self.ids, own)
        });
        measured.collect()
    }

    /// Hands over the vectors of `documents`, block after block: those that are kept, and others as they are made.
    fn each(
        &mut self,
        role: Role,
        documents: Texts<'_>,
        mut take: impl FnMut(&Self, std::ops::Range<usize>, EmbeddedTexts) -> Result<()>,
    ) -> Result<()> {
        let (total, dim) = (documents.len(), self.info.dimensions as usize);
        let of = if role == Role::Query { "queries" } else { "documents" };
        let about = serde_json::json!({ "model": self.identity, "texts": of });
        let blocks = Blocks::open(&self.place, &about, documents, [self.block, dim])?;
        for i in 0..blocks.len() {
            let (range, texts) = blocks.documents(i);
            let count: usize = texts.iter().map(|texts| texts.len()).sum();
            let vectors = if let Some(vectors) = blocks.read(i) {
                self.reused += count;
                vectors
            } else {
                let encoder = TextEncoder { model: self.model, kind: self.info.kind, watch: self.console };
                let made = encoder.vectors(texts, role, [range.start, total]);
                let (vectors, cut) = made.map_err(|e| self.set.name(e, range.start))?;
                blocks.write(i, &vectors)?;
                self.embedded += count;
                self.cut += cut;
                vectors
            };
            take(self, range.clone(), vectors)?;
            self.console.progress(Progress::Index { done: range.end, total });
        }
        Ok(())
    }

    /// The head of the report.
    fn about(&self, command: &Eval) -> serde_json::Value {
        let Self { set, info, embedded, reused, cut, .. } = self;
        let many = |oddity: &Oddity| oddity.as_ref().map_or(0, |(_, count)| *count);
        serde_json::json!({
            "model": info, "dataset": command.dataset, "split": set.split,
            "ranked": if set.by_chunk { "chunks" } else { "documents" }, "items": set.items.len(),
            "unknown": { "queries": many(&set.oddities.unknown_queries), "documents": many(&set.oddities.unknown_documents) },
            "unjudged": many(&set.oddities.unjudged),
            "texts": { "embedded": embedded, "reused": reused, "cut": cut },
        })
    }
}

/// The forms that were asked for, or all that the model has.
fn forms(asked: &[VectorForm], info: &ModelInfo) -> Result<Vec<VectorForm>> {
    let has = |form: VectorForm| {
        form != VectorForm::Int8 || info.kind == ModelKind::Late || info.default_dtype == Dtype::Int8
    };
    if asked.iter().any(|&form| !has(form)) {
        let message = "int8, which this model was not trained for; allowed are float, binary".into();
        return Err(Error::InvalidArgument { argument: "--forms".into(), message });
    }
    let wanted = |form: &VectorForm| has(*form) && (asked.is_empty() || asked.contains(form));
    Ok(VectorForm::NAMES.into_iter().map(|(_, form)| form).filter(wanted).collect())
}

/// The sizes that were asked for, or the usual ones, rising.
fn sizes(asked: &[u32], info: &ModelInfo) -> Result<Vec<usize>> {
    let all = info.dimensions;
    if let Some(size) = asked.iter().find(|size| !(1..=all).contains(size)) {
        let message = format!("{size}, allowed is 1 to {all}");
        return Err(Error::InvalidArgument { argument: "--dimensions".into(), message });
    }
    if info.kind == ModelKind::Late && asked.iter().any(|&size| size != all) {
        let message = format!("a late interaction model's vectors are not cut, allowed is {all}");
        return Err(Error::InvalidArgument { argument: "--dimensions".into(), message });
    }
    let mut sizes: Vec<usize> = asked.iter().map(|&size| size as usize).collect();
    if asked.is_empty() {
        // pplx-embed is said to keep its meaning down to 128.
        let least = if all >= 1024 { 128 } else { 64 };
        let halves = (0..32).map(|bit| 1u32 << bit).filter(|size| (least..all).contains(size));
        sizes.extend(halves.filter(|_| info.kind != ModelKind::Late).chain([all]).map(|size| size as usize));
    }
    sizes.sort_unstable();
    sizes.dedup();
    Ok(sizes)
}
