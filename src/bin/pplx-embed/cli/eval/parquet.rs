//! Rows of Parquet files, which is how the Hub keeps most sets.
//!
//! The `parquet` crate of arrow-rs reads them, without Arrow. Some damaged files make it panic (its issue 9742; of the files
//! that the test below makes, one in a thousand), so it works behind a guard that turns a panic into an error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as Record};
use parquet::schema::types::Type;
use pplx_embed::{Error, Result};
use serde_json::{Map, Value};

use super::lines::{failed, open};
use super::rows::{Row, RowPlace};

/// Most rows of a file.
const MAX_ROWS: i64 = 1 << 28;
/// Rows that are read together.
const STEP: usize = 1024;
/// Bytes of text that a file may become, whatever its size, and for each byte of it: a dictionary repeats a long text in
/// a few bits.
const MOST: u64 = 1 << 30;
const MOST_FOR_BYTE: u64 = 1000;

/// The rows of a file.
pub(super) struct ParquetRows {
    records: RowIter<'static>,
    place: RowPlace,
    /// Those that were read and not yet handed on, the last first.
    ready: Vec<Row>,
    ended: bool,
    bytes: u64,
    most: u64,
}

/// The rows of `path`, with those of `columns` that it has.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Io`] if it is no Parquet file, or has none of the columns.
pub(super) fn rows(path: &Path, columns: &[&str]) -> Result<ParquetRows> {
    let file = open(path)?;
    let size = file.metadata().map_err(|e| failed(path, &e))?.len();
    let refuse = |message: String| Error::Io { file: path.display().to_string(), message };
    let records = guarded(|| {
        let reader = SerializedFileReader::new(file).map_err(|e| e.to_string())?;
        let about = reader.metadata().file_metadata();
        if !(0..=MAX_ROWS).contains(&about.num_rows()) {
            return Err(format!("has {} rows, allowed are {MAX_ROWS}", about.num_rows()));
        }
        let schema = about.schema_descr().root_schema();
        let wanted = |field: &&Arc<Type>| columns.contains(&field.name());
        let fields: Vec<Arc<Type>> = schema.get_fields().iter().filter(wanted).cloned().collect();
        if fields.is_empty() {
            let there: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).take(50).collect();
            return Err(format!("has the columns {}, none of {}", there.join(", "), columns.join(", ")));
        }
        let projection = Type::group_type_builder(schema.name()).with_fields(fields).build();
        let projection = projection.map_err(|e| e.to_string())?;
        RowIter::from_file_into(Box::new(reader)).project(Some(projection)).map_err(|e| e.to_string())
    });
    let records = records.and_then(|records| records).map_err(refuse)?;
    let most = size.saturating_mul(MOST_FOR_BYTE).max(MOST);
    let place = RowPlace { file: Rc::from(path.display().to_string()), unit: "row", number: 0 };
    Ok(ParquetRows { records, place, ready: Vec::new(), ended: false, bytes: 0, most })
}

impl ParquetRows {
    /// Reads the next rows.
    fn read(&mut self) -> Result<()> {
        let records = &mut self.records;
        let read = guarded(|| records.by_ref().take(STEP).collect::<Result<Vec<Record>, _>>());
        let next = RowPlace { number: self.place.number + 1, ..self.place.clone() };
        let records = read.and_then(|read| read.map_err(|e| e.to_string())).map_err(|message| {
            self.ended = true;
            // What the crate says of a compression that it was built without.
            let packed = message.contains("Disabled feature");
            next.error(&if packed { format!("{message}; allowed are snappy, zstd, gzip and none") } else { message })
        })?;
        self.ended = records.len() < STEP;
        for record in records {
            self.place.number += 1;
            let mut fields = Map::new();
            for (name, field) in record.get_column_iter() {
                let value = value(field).ok_or_else(|| {
                    self.ended = true;
                    self.place.error(&format!("column {name} is of a kind that is not read"))
                })?;
                self.bytes += bytes_of(&value);
                fields.insert(name.clone(), value);
            }
            if self.bytes > self.most {
                self.ended = true;
                return Err(self.place.error(&format!("the file becomes more than {} bytes of text", self.most)));
            }
            self.ready.push(Row { place: self.place.clone(), fields });
        }
        self.ready.reverse();
        Ok(())
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.ended {
            if let Err(error) = self.read() {
                self.ready.clear();
                return Some(Err(error));
            }
        }
        self.ready.pop().map(Ok)
    }
}

/// A value as JSON has it; `None` for kinds that no set has.
fn value(field: &Field) -> Option<Value> {
    Some(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::from(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => Value::from(*value),
        Field::Long(value) => Value::from(*value),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float16(value) => Value::from(f64::from(*value)),
        Field::Float(value) => Value::from(f64::from(*value)),
        Field::Double(value) => Value::from(*value),
        Field::Str(text) => Value::from(text.as_str()),
        // Texts that their writer did not mark as such.
        Field::Bytes(bytes) => Value::from(std::str::from_utf8(bytes.data()).ok()?),
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(value).collect::<Option<_>>()?),
        _ => return None,
    })
}

fn bytes_of(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(values) => values.iter().map(bytes_of).sum(),
        _ => 8,
    }
}

/// What `read` gives, or in words what it panicked with. Nothing that it had a hold of is used after that.
fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let done = catch_unwind(AssertUnwindSafe(read));
    std::panic::set_hook(hook);
    done.map_err(|panic| format!("is damaged: {}", words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it cannot be read")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::path::Path;

    use super::rows;

    const SETS: [(&str, &[&str]); 3] = [
        ("pandas/corpus.parquet", &["id", "title", "text"]),
        ("hub/corpus/corpus-00000-of-00002.parquet", &["_id", "title", "text"]),
        ("chunks/corpus.parquet", &["_id", "chunks"]),
    ];

    /// The number of rows, or what was wrong.
    fn count(path: &Path, columns: &[&str]) -> Result<usize, String> {
        let mut count = 0;
        for row in rows(path, columns).map_err(|e| e.to_string())? {
            row.map_err(|e| e.to_string())?;
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn damaged_files_are_errors_or_read_and_nothing_else() {
        let place = std::env::temp_dir().join(format!("pplx-embed-parquet-{}", std::process::id()));
        let mut refused = 0;
        for (set, columns) in SETS {
            let bytes = std::fs::read(Path::new("tests/fixtures/sets").join(set)).unwrap();
            std::fs::write(&place, &bytes).unwrap();
            let whole = count(&place, columns).unwrap();
            // Every bit of a byte has its turn, and a crowd of files takes its time.
            for at in (0..bytes.len()).step_by(3) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                std::fs::write(&place, &damaged).unwrap();
                match count(&place, columns) {
                    // A damaged count of rows may be believed, but is within the limit.
                    Ok(count) => assert!(count <= whole.max(1 << 20), "{set}: {count} rows"),
                    Err(message) => refused += usize::from(message.contains("parquet")),
                }
                std::fs::write(&place, &bytes[..at]).unwrap();
                assert!(count(&place, columns).is_err(), "{set} cut at {at}");
            }
        }
        drop(std::fs::remove_file(&place));
        assert!(refused > 100, "{refused}");
    }
}
