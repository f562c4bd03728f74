//! Weights that were quantized while they were loaded are kept so, and the large file they were made of is not.

use std::collections::BTreeMap;
use std::path::Path;

use pollster::block_on;
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model, WeightChoice};
use pplx_embed::numbers::Dtype;

use super::net::{Net, WEIGHTS};
use super::{Ear, Place, open};

/// A net that has a real checkpoint.
pub(crate) fn net() -> Net {
    fn collect(root: &Path, folder: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                collect(root, &entry.path(), into);
            } else {
                let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                into.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    let (net, mut files) = (Net::new(0), BTreeMap::new());
    let root = Path::new("tests/fixtures/checkpoints/f32-gqa2");
    collect(root, root, &mut files);
    net.set(|s| s.commits = vec![("2".repeat(40), files)]);
    net
}

/// Loads through the cache, and gives a vector and what was asked of the server for it.
fn load(net: &Net, place: &Place, weights: WeightChoice) -> (Vec<f32>, Vec<String>) {
    let ear = Ear::default();
    let vector = block_on(async {
        let source = open(net, place.store(), &ear).await.unwrap();
        let model = Model::load(&source, LoadOptions { weights, ..LoadOptions::default() }, &ear).await.unwrap();
        source.loaded().await;
        let options = EmbedOptions { dtype: Some(Dtype::Float32), ..EmbedOptions::default() };
        match model.embed(&["a text"], options, &()).await.unwrap().data {
            Data::Float32(data) => data,
            _ => panic!("not float32"),
        }
    });
    assert_eq!(*ear.notices.borrow(), Vec::<String>::new());
    (vector, net.take_log().into_iter().map(|(file, _)| file).collect())
}

fn blob_bytes(place: &Place) -> u64 {
    place.files("blobs").iter().map(|path| path.metadata().unwrap().len()).sum()
}

#[test]
fn a_second_load_reads_the_small_file_and_asks_for_nothing() {
    let raw = net().weights().len() as u64;
    for (held, share) in [(WeightChoice::Q4, 0.3), (WeightChoice::Q8, 0.35), (WeightChoice::F16, 0.55)] {
        let (net, place) = (net(), Place::new());
        let (cold, asked) = load(&net, &place, held);
        assert_eq!(asked.iter().filter(|file| *file == WEIGHTS).count(), 1, "{asked:?}");
        let side: u64 = blob_bytes(&place);
        assert!((side as f64) < share * raw as f64 + 40_000.0, "{held:?}: {side} bytes are kept of {raw}");
        let (warm, asked) = load(&net, &place, held);
        assert_eq!(asked, Vec::<String>::new(), "{held:?}");
        assert_eq!(warm, cold, "{held:?}: the same codes");
        // Without a network, too.
        net.set(|s| s.down = true);
        let ear = Ear::default();
        block_on(async {
            let source = open(&net, place.store(), &ear).await.unwrap();
            Model::load(&source, LoadOptions { weights: held, ..LoadOptions::default() }, &ear).await.unwrap();
        });
    }
}

#[test]
fn another_form_is_loaded_anew_and_kept_beside_the_first() {
    let (net, place) = (net(), Place::new());
    let (q4, _) = load(&net, &place, WeightChoice::Q4);
    let (f32, asked) = load(&net, &place, WeightChoice::F32);
    assert!(asked.contains(&WEIGHTS.to_owned()));
    assert_ne!(q4, f32);
    for (held, want) in [(WeightChoice::Q4, &q4), (WeightChoice::F32, &f32)] {
        let (vector, asked) = load(&net, &place, held);
        assert_eq!((&vector, asked), (want, vec![]), "{held:?}");
    }
    assert_eq!(load(&net, &place, WeightChoice::Auto).0, f32, "what is stored is what auto takes");
}

#[test]
fn a_form_cut_short_by_a_crash_is_made_anew() {
    let (net, place) = (net(), Place::new());
    let (cold, _) = load(&net, &place, WeightChoice::Q8);
    let form = |place: &Place| {
        let mut blobs = place.files("blobs");
        blobs.retain(|path| path.to_str().unwrap().ends_with("-q8-g64-1"));
        assert_eq!(blobs.len(), 1);
        blobs.remove(0)
    };
    // Renamed back to what a crash would have left.
    let part = form(&place).with_extension("part");
    std::fs::rename(form(&place), &part).unwrap();
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(load(&net, &place, WeightChoice::Q8).0, cold);
    assert_eq!(std::fs::read(form(&place)).unwrap(), bytes);
    assert!(place.parts().is_empty());
}
