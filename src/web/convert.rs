//! Values of JavaScript as values of Rust, and back.

use js_sys::{Array, JsString, Object, Reflect, Uint32Array};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};

use crate::backend::Device;
use crate::error::{Error, Result};

/// An object with these fields.
pub(super) fn object_of(fields: &[(&str, JsValue)]) -> Result<JsValue, JsValue> {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &(*name).into(), value)?;
    }
    Ok(object.into())
}

/// A Uint32Array.
pub(super) fn whole_numbers(numbers: &[usize]) -> JsValue {
    let numbers: Vec<u32> = numbers.iter().map(|&n| n as u32).collect();
    Uint32Array::from(numbers.as_slice()).into()
}

/// A plain object. Counts of bytes become numbers, not `BigInt`s.
pub(super) fn plain(value: &impl Serialize) -> Result<JsValue, JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::new()
        .serialize_large_number_types_as_bigints(false)
        .serialize_maps_as_objects(true);
    value.serialize(&serializer).map_err(JsValue::from)
}

/// An `Error` of JavaScript with a `code`.
pub(super) fn thrown(error: Error) -> JsValue {
    let thrown = js_sys::Error::new(&error.to_string());
    let _ = Reflect::set(&thrown, &"code".into(), &error.code().into());
    thrown.into()
}

/// The option `name`; `None` if it is missing, undefined or null.
pub(super) fn option(options: &JsValue, name: &str) -> Result<Option<JsValue>> {
    if options.is_undefined() {
        return Ok(None);
    }
    let value = Reflect::get(options, &name.into())
        .map_err(|_| Error::argument("options", format!("{}, allowed is an object", came(options))))?;
    Ok(Some(value).filter(|v| !v.is_undefined() && !v.is_null()))
}

/// The option `name`, converted. `allowed` says in errors what it may be.
pub(super) fn typed<T>(
    options: &JsValue,
    name: &str,
    allowed: &str,
    convert: impl Fn(&JsValue) -> Option<T>,
) -> Result<Option<T>> {
    let Some(value) = option(options, name)? else { return Ok(None) };
    let wrong = || Error::argument(name, format!("{}, allowed is {allowed}", came(&value)));
    convert(&value).ok_or_else(wrong).map(Some)
}

pub(super) fn string(options: &JsValue, name: &str) -> Result<Option<String>> {
    typed(options, name, "a string", JsValue::as_string)
}

/// The option `device`.
pub(super) fn device(options: &JsValue) -> Result<Device> {
    Ok(string(options, "device")?.map(|name| name.parse()).transpose()?.unwrap_or_default())
}

pub(super) fn boolean(options: &JsValue, name: &str) -> Result<Option<bool>> {
    typed(options, name, "true or false", JsValue::as_bool)
}

pub(super) fn whole(options: &JsValue, name: &str) -> Result<Option<u32>> {
    let fits = |n: &f64| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n);
    typed(options, name, "a whole number", |v| v.as_f64().filter(fits).map(|n| n as u32))
}

pub(super) fn object<T: JsCast>(options: &JsValue, name: &str, allowed: &str) -> Result<Option<T>> {
    typed(options, name, allowed, |v| v.clone().dyn_into().ok())
}

/// The value that came, for an error.
pub(super) fn came(value: &JsValue) -> String {
    let number = || value.as_f64().map(|n| n.to_string());
    let simple = value.as_string().map(|s| format!("{s:?}")).or_else(number);
    simple.or_else(|| value.as_bool().map(|b| b.to_string())).unwrap_or_else(|| match value {
        v if v.is_null() => "null".into(),
        v if Array::is_array(v) => "an array".into(),
        v => format!("a value of type {}", String::from(JsString::from(v.js_typeof()))),
    })
}
