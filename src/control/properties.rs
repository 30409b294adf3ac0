//! The lines on the control socket.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::{
    Cache, Export, Exports, FileState, LastEnd, Line, MountedAt, ParentStatus, Problem, Reply, Request, Save,
    SaveState, Secret, Shelf, Status, VERSION,
};
use crate::mount::Health;
use crate::testing::{any_text, config, near_text};

fn request() -> impl Strategy<Value = Request> {
    let address = (any::<std::net::IpAddr>(), any::<u16>()).prop_map(std::net::SocketAddr::from);
    prop_oneof![
        Just(Request::Status),
        Just(Request::Health),
        Just(Request::Stop),
        any::<u64>().prop_map(|patience| Request::Restart { patience }),
        Just(Request::Flush),
        any::<bool>().prop_map(|mounted| Request::Keep { mounted }),
        any::<bool>().prop_map(|under_way| Request::Mounting { under_way }),
        any_text().prop_map(|nonce| Request::Expect { nonce }),
        (any_text(), address).prop_map(|(nonce, address)| Request::Heard { nonce, address }),
        any_text().prop_map(|directory| Request::ExportShelf { directory: directory.into() }),
        any_text().prop_map(|path| Request::Exports { path }),
        any_text().prop_map(|json| Request::Credentials { json: Secret(json) }),
    ]
}

prop_compose! {
    fn save()(
        path in any_text(),
        state in prop_oneof![
            Just(SaveState::Failed),
            Just(SaveState::Refused),
            Just(SaveState::Incomplete),
            Just(SaveState::Missing),
            Just(SaveState::Waiting),
        ],
        bytes in option::of(any::<u64>()),
        since in any::<u64>(),
        why in option::of(any_text()),
    ) -> Save {
        Save { path, state, bytes, since, why }
    }
}

prop_compose! {
    fn status()(
        texts in vec(any_text(), 6),
        numbers in vec(any::<u64>(), 8),
        flags in vec(any::<bool>(), 4),
        keeps in option::of(any_text()),
        lists in (vec(any_text(), 0..3), vec(any_text(), 0..3)),
        s3_requests in btree_map(any_text(), any::<u64>(), 0..3),
        problems in vec((any_text(), any_text(), any::<u64>()), 0..3),
        saves in vec(save(), 0..3),
    ) -> Status {
        Status {
            program_version: texts[0].clone(),
            pid: numbers[0] as u32,
            source: texts[1].clone(),
            urls: lists.0,
            state_dir: texts[2].clone().into(),
            auth: texts[3].clone(),
            has_given_login: flags[0],
            detached: flags[1],
            read_only: flags[2],
            options: lists.1,
            cautions: Vec::new(),
            is_service: flags[3],
            parent: flags[0].then_some(numbers[0] as i32),
            keeps: keeps.map(Into::into),
            started: numbers[1],
            connections: numbers[2],
            requests: numbers[3],
            s3_requests,
            conflicts: numbers[4],
            held_creates: numbers[5],
            spilled: numbers[6],
            cache: Cache { used: numbers[7], limit: numbers[1] },
            shelf: Shelf { entries: numbers[2], bytes: numbers[3], limit: numbers[4] },
            problems: problems.into_iter().map(|(message, hint, since)| Problem { message, hint, since }).collect(),
            saves,
            more_saves: numbers[5],
            mounts: vec![MountedAt { point: texts[4].clone().into(), health: [Health::Well, Health::Dead, Health::Hung][numbers[0] as usize % 3] }],
            held_by: None,
            ending: false,
        }
    }
}

prop_compose! {
    fn parent()(
        texts in vec(any_text(), 2),
        numbers in vec(any::<u64>(), 4),
        is_running in any::<bool>(),
        end in option::of((any_text(), any::<u64>())),
        reason in option::of((any_text(), any_text())),
    ) -> ParentStatus {
        let (reason, hint) = reason.unzip();
        ParentStatus {
            program_version: texts[0].clone(),
            pid: numbers[0] as u32,
            is_running,
            urls: vec![texts[1].clone()],
            detached: !is_running,
            deaths: numbers[1],
            last_end: end.map(|(how, at)| LastEnd { how, at }),
            failed_starts: numbers[2],
            reason,
            hint,
            ending: false,
        }
    }
}

prop_compose! {
    fn exports()(
        source in any_text(),
        exported in option::of(any::<u64>()),
        numbers in vec(any::<u64>(), 3),
        files in vec((any_text(), any::<bool>(), option::of(any_text()), option::of(any_text())), 0..3),
        is_cut in any::<bool>(),
    ) -> Exports {
        let file = |(path, has_failed, why, hint)| {
            let state = if has_failed { FileState::Failed } else { FileState::Pending };
            Export { path, state, why, hint }
        };
        let files = files.into_iter().map(file).collect();
        Exports { source, exported, pending: numbers[0], failed: numbers[1], files, untold: numbers[2], is_cut }
    }
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        status().prop_map(|status| Reply::Status(Box::new(status))),
        parent().prop_map(|status| Reply::Parent(Box::new(status))),
        Just(Reply::Done),
        Just(Reply::No),
        (any::<usize>(), any::<u64>()).prop_map(|(files, bytes)| Reply::Exported { files, bytes }),
        exports().prop_map(|exports| Reply::Exports(Box::new(exports))),
        any_text().prop_map(|message| Reply::Failed { message }),
        Just(Reply::OtherVersion),
    ]
}

fn line<T: serde::Serialize>(content: T) -> String {
    serde_json::to_string(&Line { version: VERSION, content }).unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_said_is_one_line_and_is_understood(request in request(), reply in reply()) {
        let (asked, answered) = (line(&request), line(&reply));
        prop_assert!(!asked.contains('\n') && !answered.contains('\n'));
        let read: Line<Request> = serde_json::from_str(&asked).unwrap();
        prop_assert_eq!((read.version, read.content), (VERSION, request));
        let read: Line<Reply> = serde_json::from_str(&answered).unwrap();
        prop_assert_eq!((read.version, read.content), (VERSION, reply));
    }

    #[test]
    fn the_version_is_told_by_whatever_else_a_line_holds(version in any::<u32>(), request in request()) {
        let text = serde_json::to_string(&Line { version, content: request }).unwrap();
        prop_assert_eq!(serde_json::from_str::<Line<serde_json::Value>>(&text).unwrap().version, version);
    }

    #[test]
    fn whatever_is_understood_can_be_said(
        text in prop_oneof![any_text(), near_text(request().prop_map(line)), near_text(reply().prop_map(line))],
    ) {
        if let Ok(Line { content, .. }) = serde_json::from_str::<Line<Request>>(&text) {
            let read: Line<Request> = serde_json::from_str(&line(&content)).unwrap();
            prop_assert_eq!(read.content, content);
        }
        if let Ok(Line { content, .. }) = serde_json::from_str::<Line<Reply>>(&text) {
            let read: Line<Reply> = serde_json::from_str(&line(&content)).unwrap();
            prop_assert_eq!(read.content, content);
        }
    }
}
