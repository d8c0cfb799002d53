//! Broken set-ups of the machine: configuration, addresses, directories, limits, nginx.

use std::{fs, net::TcpListener, os::unix::fs::DirBuilderExt};

use super::*;
use crate::support::{
    daemon::{OPEN_FILES, OWN_USER},
    not_tested,
    small_disk::SmallDisk,
};

#[test]
fn a_wrong_configuration() {
    block_on(async {
        let mut setup = Setup::new().await;
        setup.more = vec!["--stale-after".into(), "never".into()];
        setup.run().assert("configuration", "failure", "stale-after");
    });
}

#[test]
fn addresses_that_others_have_and_an_admin_listener_for_everybody() {
    block_on(async {
        let mut setup = Setup::new().await;
        let (first, second) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        // They end each connection at once, as a program that speaks no HTTP might.
        for listener in [first.try_clone().unwrap(), second.try_clone().unwrap()] {
            std::thread::spawn(move || listener.incoming().for_each(drop));
        }
        (setup.bind, setup.admin) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        let found = setup.run();
        found.assert("public_port", "failure", "another program has");
        found.assert("admin_port", "failure", "another program has");
        (setup.bind, setup.admin) = (free_address(), "0.0.0.0:0".parse().unwrap());
        setup.run().assert("admin_exposure", "warning", "reachable from other machines");
    });
}

#[test]
fn directories_that_cannot_be_written() {
    block_on(async {
        let mut setup = Setup::new().await;
        let file = setup._directory.path().join("file");
        fs::write(&file, "").unwrap();
        (setup.data_dir, setup.output_dir) = (file.join("data"), file.join("www"));
        let found = setup.run();
        found.assert("data_directory", "failure", "no file can be created");
        found.assert("output_directory", "failure", "no file can be created");
    });
}

#[test]
fn disks_that_are_too_small() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    block_on(async {
        let mut setup = Setup::new().await;
        (setup.data_dir, setup.output_dir) = (disk.path().join("data"), disk.path().join("www"));
        let found = setup.run();
        found.assert("data_disk", "failure", "MiB free, at least 256 needed");
        found.assert("output_disk", "failure", "MiB free, at least 256 needed");
    });
}

#[test]
fn too_few_descriptors() {
    block_on(async {
        let mut setup = Setup::new().await;
        setup.environment = vec![(OPEN_FILES, "150".into())];
        setup.run().assert("descriptors", "failure", "may open 150 files");
        setup.environment = vec![(OPEN_FILES, "600".into())];
        setup.run().assert("descriptors", "warning", "may open 600 files");
    });
}

#[test]
fn too_few_threads() {
    if !nix::unistd::Uid::effective().is_root() {
        not_tested("limits of threads: only root may start a process as another user");
        return;
    }
    block_on(async {
        let mut setup = Setup::new().await;
        setup.environment = vec![(OWN_USER, "54322:100".into())];
        setup.run().assert("threads", "failure", "may have 100 threads");
        // Too few for the checks themselves.
        setup.environment = vec![(OWN_USER, "54322:12".into())];
        let found = setup.run();
        found.assert("threads", "failure", "cannot start the threads it needs");
        assert_eq!(found.checks().iter().filter(|check| check["name"] == "threads").count(), 1);
        found.check("data_disk"); // which needs no threads
    });
}

#[test]
fn an_nginx_conf_that_nginx_refuses() {
    block_on(async {
        let mut setup = Setup::new().await;
        let conf = setup._directory.path().join("nginx.conf");
        fs::write(&conf, "events {}\nhttp { no_such_directive on; }\n").unwrap();
        let listen = free_address().to_string();
        setup.more = ["--nginx", conf.to_str().unwrap(), "--nginx-bind", &listen].map(str::to_owned).to_vec();
        setup.run().assert("nginx", "failure", "no_such_directive");
        fs::write(&conf, crate::support::nginx::conf()).unwrap();
        // As in a container that can only write its volume.
        setup.environment = vec![("TMPDIR", "/dev/null".into())];
        let found = setup.run();
        assert_eq!(found.check("nginx")["status"], "ok", "{:#}", found.report);
        assert_eq!(found.check("nginx_port")["detail"], format!("{listen} is free"));
        let left = fs::read_dir(setup._directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["nginx.conf"], "nothing is left behind");

        let taken = TcpListener::bind(&listen).unwrap();
        std::thread::spawn(move || taken.incoming().for_each(drop));
        setup.run().assert("nginx_port", "failure", "another program has");

        setup.data_dir = conf.join("data");
        setup.run().assert("nginx", "failure", "no directory can be made");
    });
}

#[test]
fn a_data_directory_that_nginxs_workers_may_not_enter() {
    if !nix::unistd::Uid::effective().is_root() {
        return not_tested("nginx's workers run as another user for root alone");
    }
    block_on(async {
        let mut setup = Setup::new().await;
        let conf = crate::support::nginx::conf_file();
        let listen = free_address().to_string();
        setup.more = ["--nginx", conf.to_str().unwrap(), "--nginx-bind", &listen].map(str::to_owned).to_vec();
        let closed = setup._directory.path().join("closed");
        fs::DirBuilder::new().mode(0o700).create(&closed).unwrap();
        setup.data_dir = closed.join("data");
        let found = setup.run();
        found.assert("nginx", "failure", closed.to_str().unwrap());
        let remedy = found.check("nginx")["remedy"].as_str().unwrap().to_owned();
        assert!(remedy.contains("--data-dir"), "{remedy}");
    });
}
