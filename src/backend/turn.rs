//! In a browser the thread that computes also receives the messages that cancel; it has to let them in from time to time.

use std::cell::Cell;
use std::time::Duration;

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_time::Instant;

/// How long a thread computes before it lets messages in. A browser may then let it wait for 4 ms.
const TURN: Duration = Duration::from_millis(80);

thread_local! {
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Lets this thread receive messages, if it has not for a while.
pub(super) async fn let_messages_in() {
    let now = Instant::now();
    match LAST.get() {
        Some(last) if now.duration_since(last) < TURN => return,
        Some(_) => {}
        None => return LAST.set(Some(now)),
    }
    next().await;
    LAST.set(Some(Instant::now()));
}

/// Lets this thread do what else waits to be done.
pub(super) async fn next() {
    let global = js_sys::global();
    let later = Reflect::get(&global, &"setTimeout".into()).ok().and_then(|f| f.dyn_into::<Function>().ok());
    if let Some(later) = later {
        let turn = Promise::new(&mut |resolve, _| {
            if later.call1(&JsValue::UNDEFINED, &resolve).is_err() {
                let _ = resolve.call0(&JsValue::UNDEFINED);
            }
        });
        let _ = JsFuture::from(turn).await;
    }
}
