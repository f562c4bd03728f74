//! Whatever a crash left of the cache's files, the model's bytes are right.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::net::{ENDPOINT, ID, Net, WEIGHTS, model};
use super::{Ear, Place, load, load_until, load_well};

/// What a crash may do to the files of a cache.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Truncate(prop::sample::Index),
    Extend(Vec<u8>),
    Garble(prop::sample::Index, u8),
    Remove,
    Replace(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    let bytes = || prop::collection::vec(any::<u8>(), 0..2000);
    prop_oneof![
        Just(Damage::None),
        index().prop_map(Damage::Truncate),
        bytes().prop_map(Damage::Extend),
        (index(), 1_u8..).prop_map(|(at, by)| Damage::Garble(at, by)),
        Just(Damage::Remove),
        bytes().prop_map(Damage::Replace),
    ]
}

impl Damage {
    fn strike(&self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Self::None => return,
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len() + 1)),
            Self::Extend(more) => bytes.extend(more),
            Self::Garble(at, by) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= by;
            }
            Self::Garble(..) => {}
            Self::Remove => return fs::remove_file(path).unwrap(),
            Self::Replace(other) => bytes.clone_from(other),
        }
        fs::write(path, bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_a_crash_left_the_bytes_are_right(cut in 0_u64..9_000, part in damage(), refs in damage()) {
        let (net, place) = (Net::new(9_000), Place::new());
        load_until(&net, &place, cut);
        let intact = matches!(part, Damage::None);
        if let Some(path) = place.parts().first() {
            part.strike(path);
        }
        refs.strike(&place.ref_path());
        prop_assert_eq!(load(&net, &place, &Ear::default()).unwrap(), model(9_000, 1));
        let log = net.take_log();
        if intact {
            prop_assert_eq!(log.last().unwrap(), &(WEIGHTS.to_owned(), cut));
        }
        prop_assert!(log.iter().filter(|(file, _)| file == WEIGHTS).count() <= 2);
        prop_assert!(place.parts().is_empty());
        prop_assert!(place.kept()[0].complete);
        load_well(&net, &place);
        prop_assert_eq!(net.take_log(), []);
    }

    #[test]
    fn refs_of_any_content_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), json in json()) {
        for content in [bytes, json.to_string().into_bytes()] {
            let (net, place) = (Net::new(100), Place::new());
            load_well(&net, &place);
            fs::write(place.ref_path(), &content).unwrap();
            fs::write(place.0.join("refs/other.json"), &content).unwrap();
            place.kept();
            net.set(|s| s.down = true);
            let offline = load(&net, &place, &Ear::default());
            prop_assert_eq!(offline.unwrap_err().code(), "network");
            net.set(|s| s.down = false);
            prop_assert_eq!(load(&net, &place, &Ear::default()).unwrap(), model(100, 1));
            prop_assert_eq!(place.kept().len(), 1);
        }
    }
}

/// JSON that is nearly a ref.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let key = prop_oneof!["[a-z0-9./-]{0,70}", Just("../../escape".to_owned()), Just(".".to_owned())];
    let (size, version) = (any::<i64>(), 0_u8..3);
    (key, size, version).prop_map(|(key, size, version)| {
        serde_json::json!({
            "version": version, "id": ID, "endpoint": ENDPOINT, "revision": "0".repeat(40), "names": ["main"],
            "complete": true, "saved": 1, "used": u64::MAX, "files": { "config.json": { "key": key, "size": size } },
        })
    })
}
