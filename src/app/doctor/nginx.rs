//! Checks of nginx, with `--nginx`.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::Finding;
use crate::{
    actors::nginx_process::place::{NginxError, NginxPlace, NginxSettings},
    blocking,
    config::Config,
};

const NAME: &str = "nginx";

/// Lets nginx test its configuration in a directory of its own, so that a running nginx is not disturbed.
///
/// The directory is beside the daemon's data, the only place that a container can write.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let Some(file) = config.nginx.clone() else {
        return vec![Finding::skipped(NAME, "not used: --nginx is not set")];
    };
    let place = match own_directory(&config.data_dir) {
        Ok(place) => place,
        Err((parent, error)) => {
            return vec![Finding::failure(
                NAME,
                format!("not tested: no directory can be made in {}: {error}", parent.display()),
                "give the daemon's user the right to write there, or choose another directory with --data-dir",
            )];
        }
    };
    let settings = NginxSettings {
        file: file.clone(),
        listen: config.nginx_bind,
        output_dir: config.output_dir.clone(),
        data_dir: place.clone(),
    };
    let bind = std::net::SocketAddr::new(config.bind.ip(), config.bind.port().max(1));
    let tested = async {
        let prepared = NginxPlace::prepare(settings)?;
        prepared.set_upstream(bind)?;
        prepared.test().await
    }
    .await;
    // A crash leaves a small directory.
    let _ = blocking::run(move || fs::remove_dir_all(place)).await;
    vec![match tested {
        Ok(()) => Finding::ok(NAME, format!("nginx accepts {}", file.display())),
        Err(error @ NginxError::NotInstalled) => Finding::failure(
            NAME,
            error.to_string(),
            "install nginx (`./ticker need nginx`), or leave --nginx out",
        ),
        Err(error @ NginxError::Closed { .. }) => Finding::failure(
            NAME,
            error.to_string(),
            "choose directories that this user may enter with --data-dir and --output-dir, or run the daemon as a user of its own",
        ),
        Err(error) => Finding::failure(
            NAME,
            error.to_string(),
            format!("correct {}, or derive it again from the nginx.conf of this version", file.display()),
        ),
    }]
}

/// Makes a directory that others can only pass through, as nginx's workers do. It is in the data directory or, if that
/// is missing, in the nearest one above it. Fails if something has its name already, since another user may have made
/// that. Returns the parent with the error.
fn own_directory(data_dir: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    let data_dir = std::path::absolute(data_dir).map_err(|error| (data_dir.to_owned(), error))?;
    let existing = data_dir.ancestors().find(|path| path.exists()).unwrap_or(&data_dir);
    let (process, number) = (std::process::id(), rand::random::<u64>());
    let place = existing.join(format!(".stellar-ticker-doctor-nginx-{process}-{number:016x}"));
    match fs::DirBuilder::new().mode(0o711).create(&place) {
        Ok(()) => Ok(place),
        Err(error) => Err((existing.to_owned(), error)),
    }
}
