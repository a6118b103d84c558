//! A request and its job, for the tests of every module.

use super::{Cluster, EngineChoice, ImageSource, Job, Qdebug, Request, Sshd, Token};

pub(crate) fn request(name: &str) -> Request {
    Request {
        name: name.parse().unwrap(),
        token: Token::random().unwrap(),
        cluster: Cluster {
            scheduler: "slurm".into(),
            server: "cluster".into(),
        },
        qdebug: Qdebug {
            version: "0.1.0".into(),
            path: "/usr/bin/qdebug".into(),
        },
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        walltime_seconds: 3600,
        gpu: None,
        cpus: None,
        memory_bytes: None,
        shm_bytes: None,
        idle_timeout_seconds: None,
        image: ImageSource::Reference {
            reference: "debian".into(),
        },
        sshd: Sshd::Kit,
        engine: EngineChoice::Auto,
        mounts: Vec::new(),
        env: std::collections::BTreeMap::new(),
        home: "/home/alice".into(),
        project: "/home/alice".into(),
    }
}

pub(crate) fn job(request: &Request, id: &str) -> Job {
    Job {
        token: request.token.clone(),
        id: id.into(),
        cluster: request.cluster.clone(),
        submitted: request.created,
    }
}
