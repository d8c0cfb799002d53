//! A running nginx: its master process, and the process group of its workers.

use std::{io, net::SocketAddr, process::ExitStatus, time::Duration};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::Instant,
};
use tracing::warn;

use super::{
    log,
    place::{NginxError, NginxPlace},
};
use crate::domain::listener::reachable;

/// Time limit for the workers of a killed nginx to free its address.
const PORT_PATIENCE: Duration = Duration::from_secs(3);
const PORT_POLL: Duration = Duration::from_millis(50);
/// Time limit for the answer to a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Part of the drain's time that is kept for killing nginx.
const KILL_TIME: Duration = Duration::from_millis(200);

/// Result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// nginx answered.
    Answered,
    /// nginx accepted the connection and closed it without an answer, as it does when all its connections are in use.
    Full,
    /// nginx refused the connection, or did not answer in time.
    Missed,
}

/// A running nginx. Dropping it kills the process group.
pub(super) struct Master {
    child: Child,
    pid: Pid,
    place: NginxPlace,
    has_ended_well: bool,
}

impl Master {
    /// Waits until nginx's address is free, then starts nginx.
    pub(super) async fn start(place: &NginxPlace) -> Result<Self, NginxError> {
        wait_for_port(place.listen()).await?;
        place.clear().await;
        let mut command = place.command();
        command.stderr(log::pass_on().map_err(NginxError::io("make the pipe for nginx's log"))?);
        let child = Command::from(command).spawn().map_err(NginxError::io("run nginx"))?;
        let id = child.id().ok_or_else(|| io::Error::other("the process has no id"));
        let id = id.and_then(|id| i32::try_from(id).map_err(io::Error::other));
        let pid = Pid::from_raw(id.map_err(NginxError::io("run nginx"))?);
        Ok(Self { child, pid, place: place.clone(), has_ended_well: false })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until the master process has ended. Its workers may go on: they do not notice when it is killed.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Returns true if this nginx has opened its address. Before that, another program may answer there.
    pub(super) async fn has_its_address(&self) -> bool {
        let pid_file = self.place.pid_file();
        let read = crate::blocking::run(move || std::fs::read_to_string(pid_file));
        let text = read.await.ok().and_then(Result::ok).unwrap_or_default();
        text.trim() == self.pid.to_string()
    }

    /// Probes nginx. An error, or a demand for HTTPS, is an answer too.
    pub(super) async fn probe(&self) -> Probe {
        probe(reachable(self.place.listen())).await
    }

    /// Makes nginx read its configuration again. nginx logs a configuration that it refuses, and keeps the old one.
    pub(super) fn reload(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Stops nginx: lets running requests end, then kills what is left.
    pub(super) async fn stop(mut self, within: Duration) {
        self.signal(Signal::SIGQUIT);
        let graceful = within.saturating_sub(KILL_TIME);
        self.has_ended_well = tokio::time::timeout(graceful, self.child.wait()).await.is_ok();
        if !self.has_ended_well {
            warn!("connections of nginx were cut at the end of the drain");
            self.kill_group();
            let _ = tokio::time::timeout(KILL_TIME, self.child.wait()).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = kill(self.pid, signal) {
            warn!(pid = %self.pid, %signal, %error, "nginx could not be signalled");
        }
    }

    /// Kills master and workers. The master started a group of its own.
    fn kill_group(&self) {
        let _ = killpg(self.pid, Signal::SIGKILL); // fails only if no process is left
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        if !self.has_ended_well {
            self.kill_group();
        }
    }
}

async fn wait_for_port(listen: SocketAddr) -> Result<(), NginxError> {
    let until = Instant::now() + PORT_PATIENCE;
    loop {
        match TcpListener::bind(listen).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            // nginx itself reports any other problem.
            _ => return Ok(()),
        }
        if Instant::now() >= until {
            return Err(NginxError::PortTaken(listen));
        }
        tokio::time::sleep(PORT_POLL).await;
    }
}

async fn probe(address: SocketAddr) -> Probe {
    let probed = async {
        let stream = match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Probe::Full,
            Err(_) => return Probe::Missed,
        };
        if ask(stream, address).await.is_ok() { Probe::Answered } else { Probe::Full }
    };
    tokio::time::timeout(PROBE_TIMEOUT, probed).await.unwrap_or(Probe::Missed)
}

/// Sends a request and waits for the first byte of the answer. nginx answers this path itself, without the daemon.
async fn ask(mut stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    let request = format!("HEAD /-/alive HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.read_exact(&mut [0]).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_refusal_and_silence_are_missed_probes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = async { drop(listener.accept().await.unwrap()) };
        assert_eq!(tokio::join!(probe(address), closing).0, Probe::Full, "closed without an answer");
        let resetting = async {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_zero_linger().unwrap();
        };
        assert_eq!(tokio::join!(probe(address), resetting).0, Probe::Full, "reset");
        let answering =
            async { listener.accept().await.unwrap().0.write_all(b"HTTP/1.1 204").await.unwrap() };
        assert_eq!(tokio::join!(probe(address), answering).0, Probe::Answered);
        assert_eq!(probe(address).await, Probe::Missed, "the kernel accepts, nobody answers");
        drop(listener);
        // A process that another test forks holds the listener as well, until it runs its program.
        let refused = async { while probe(address).await != Probe::Missed {} };
        tokio::time::timeout(Duration::from_secs(60), refused).await.expect("the address refuses");
    }
}
