//! In a browser the thread that computes also receives the messages that cancel; it has to let them in from time to time.

use std::cell::Cell;
use std::time::Duration;

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;
use web_time::Instant;

/// How long a thread computes before it lets messages in.
const TURN: Duration = Duration::from_millis(80);
/// Milliseconds that a thread waits before it looks whether it is to go on waiting.
const PAUSE: u32 = 50;

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
}

/// Lets this thread do what else waits to be done. A timer would do, but browsers let one that follows on another wait for
/// 4 ms.
pub(crate) async fn next() {
    let channel = match global("setImmediate") {
        Some(soon) => return call(&soon, 0).await,
        None => MessageChannel::new(),
    };
    let Ok(channel) = channel else { return pause_for(0).await };
    let (here, there) = (channel.port1(), channel.port2());
    let arrived = Promise::new(&mut |resolve, _| here.set_onmessage(Some(&resolve)));
    if there.post_message(&JsValue::NULL).is_ok() {
        let _ = JsFuture::from(arrived).await;
    }
    here.close();
    LAST.set(Some(Instant::now()));
}

/// A moment, after which a caller that waits looks whether it is to go on.
pub(crate) async fn pause() {
    pause_for(PAUSE).await;
}

async fn pause_for(milliseconds: u32) {
    if let Some(later) = global("setTimeout") {
        call(&later, milliseconds).await;
    }
}

/// Waits until the global function has called back.
async fn call(later: &Function, milliseconds: u32) {
    let called = Promise::new(&mut |resolve, _| {
        if later.call2(&JsValue::UNDEFINED, &resolve, &milliseconds.into()).is_err() {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    });
    let _ = JsFuture::from(called).await;
    LAST.set(Some(Instant::now()));
}

fn global(name: &str) -> Option<Function> {
    Reflect::get(&js_sys::global(), &name.into()).ok()?.dyn_into().ok()
}
