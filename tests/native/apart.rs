//! A matrix that is read apart from a pass over its file.

use std::cell::Cell;
use std::sync::Arc;

use pollster::block_on;
use pplx_embed::Error;
use pplx_embed::checkpoint::{ApartMatrix, Header, Loss, MatrixRows, Scheme, StoredMatrix, Tensor};
use pplx_embed::checkpoint::{WantedMatrix, WeightPass, WeightSink, plain_name};
use pplx_embed::hub::{Cursor, Folder, LocalFile, NoStream, Source as _};
use pplx_embed::numbers::MatrixFormat;

/// Folders, the shape of their embedding tables, and whether those are codes.
const FOLDERS: [(&str, [u64; 2], bool); 2] = [
    ("tests/fixtures/checkpoints/f32-gqa2", [1024, 128], false),
    ("tests/fixtures/formats/models/mlx", [1024, 128], true),
];

/// Keeps all rows.
#[derive(Default)]
struct Kept(MatrixRows);

impl WeightSink for Kept {
    async fn plain(&mut self, _: &str, _: &Tensor, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    async fn rows(&mut self, _: &str, _: u64, rows: &MatrixRows) -> Result<(), Error> {
        self.0.values.extend(&rows.values);
        self.0.groups.extend(&rows.groups);
        Ok(())
    }

    async fn complete(&mut self, _: &str, _: MatrixFormat, _: Loss) -> Result<(), Error> {
        Ok(())
    }

    fn at(&mut self, _: u64) -> Result<(), Error> {
        Ok(())
    }
}

/// The `model.safetensors` of a folder, its header, and how its embedding table is stored.
fn table(folder: &str, shape: [u64; 2]) -> (std::sync::Arc<LocalFile>, Header, StoredMatrix) {
    let file = Arc::new(block_on(Folder::new(folder).local("model.safetensors")).unwrap().unwrap());
    let mut cursor = Cursor::<NoStream>::local("model.safetensors", file.clone());
    let header = block_on(Header::read(&mut cursor)).unwrap();
    let tensors = header.tensors.iter().map(|t| (plain_name(&t.name).to_owned(), t.clone())).collect();
    let stored = Scheme::default().find("embed_tokens", shape, &tensors, &header.metadata).unwrap();
    (file, header, stored)
}

#[test]
fn its_rows_are_those_of_a_pass_and_it_ends_when_it_is_told_to() {
    for (folder, shape, codes) in FOLDERS {
        let (file, header, matrix) = table(folder, shape);
        let mut passed = Kept::default();
        let mut cursor = Cursor::<NoStream>::local("model.safetensors", file.clone());
        let wanted = WantedMatrix { name: "embed_tokens".into(), matrix: matrix.clone(), to: matrix.format() };
        block_on(WeightPass::new(vec![wanted], []).file(&mut cursor, &header, false, &mut passed)).unwrap();

        let apart = ApartMatrix::find("model.safetensors", &file, &header, &matrix).unwrap();
        let (mut rows, steps) = (MatrixRows::default(), Cell::new(0));
        let count = async || {
            steps.set(steps.get() + 1);
            Ok(())
        };
        block_on(apart.read(&mut rows, count)).unwrap();
        assert_eq!((rows == passed.0, rows.groups.is_empty()), (true, !codes), "{folder}");
        assert!(steps.get() > 0);
        let stopped = block_on(apart.read(&mut MatrixRows::default(), async || Err(Error::Aborted)));
        assert_eq!(stopped.unwrap_err().code(), "aborted");

        // Not all of it is there.
        let mut less = header.clone();
        less.tensors.retain(|tensor| plain_name(&tensor.name) != matrix.tensors()[0]);
        assert!(ApartMatrix::find("model.safetensors", &file, &less, &matrix).is_none());
    }
}
