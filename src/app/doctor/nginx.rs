//! Checks of nginx, with `--nginx`.

use super::Finding;
use crate::{
    actors::nginx_process::place::{NginxError, NginxPlace, NginxSettings},
    blocking,
    config::Config,
};

const NAME: &str = "nginx";

/// Lets nginx test its configuration in a directory of its own, so that a running nginx is not disturbed.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let Some(file) = config.nginx.clone() else {
        return vec![Finding::skipped(NAME, "not used: --nginx is not set")];
    };
    let place = std::env::temp_dir().join(format!("stellar-ticker-doctor-{}", std::process::id()));
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
    // A crash leaves a small directory among the temporary ones.
    let _ = blocking::run(move || std::fs::remove_dir_all(place)).await;
    vec![match tested {
        Ok(()) => Finding::ok(NAME, format!("nginx accepts {}", file.display())),
        Err(error @ NginxError::NotInstalled) => Finding::failure(
            NAME,
            error.to_string(),
            "install nginx (`./ticker need nginx`), or leave --nginx out",
        ),
        Err(error) => Finding::failure(
            NAME,
            error.to_string(),
            format!("correct {}, or derive it again from the nginx.conf of this version", file.display()),
        ),
    }]
}
