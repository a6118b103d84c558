//! Tests of `manage.rs`.

use super::super::record::Origin;
use super::*;
use crate::cache::Key;

fn image(name: &str, bytes: u64, used: i64, in_use: bool) -> (Record, ImageListed) {
    let record = Record::new(&Key::of(&[name]), name, "id", name, Origin::Built);
    let listed = ImageListed {
        place: ImagePlace::Node,
        name: name.into(),
        id: "id".into(),
        bytes,
        used: Timestamp::from_second(used).unwrap(),
        in_use,
    };
    (record, listed)
}

#[test]
fn what_is_in_use_takes_room_and_the_least_used_goes() {
    let all = || {
        vec![
            image("new", 10, 90, false),
            image("mid", 10, 50, true),
            image("old", 10, 10, false),
        ]
    };
    let now = Timestamp::from_second(100).unwrap();
    let names = |bytes, age| {
        let bounds = PruneBounds {
            bytes,
            unused_for: age,
        };
        let going = out_of_bounds(all(), bounds, now).into_iter();
        going.map(|(_, listed)| listed.name).collect::<Vec<_>>()
    };
    assert_eq!(names(None, None), Vec::<String>::new());
    assert_eq!(names(Some(20), None), ["old"]);
    assert_eq!(names(Some(10), None), ["new", "old"]);
    assert_eq!(names(None, Some(Duration::from_secs(50))), ["mid", "old"]);
}
