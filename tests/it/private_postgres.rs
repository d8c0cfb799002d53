//! The private PostgreSQL against a real server.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use private_postgres::{IfRunning, Options, PrivatePostgres, PrivatePostgresError};
use tokio_postgres::NoTls;

use crate::support::postgres::{fresh_database, open_tempdir, test_options};
use crate::support::{DEADLINE, wait_until};

fn start(dir: &Path) -> PrivatePostgres {
    PrivatePostgres::start(dir, test_options(), DEADLINE).unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn connect(connection_string: &str) -> tokio_postgres::Client {
    let (client, driver) = tokio_postgres::connect(connection_string, NoTls).await.unwrap();
    tokio::spawn(driver);
    client
}

fn ask(connection_string: &str, sql: &str) -> String {
    block_on(async { connect(connection_string).await.query_one(sql, &[]).await.unwrap().get(0) })
}

fn cluster_pid(dir: &Path) -> i32 {
    fs::read_to_string(dir.join("pg/postmaster.pid")).unwrap().lines().next().unwrap().parse().unwrap()
}

/// A zombie counts as gone, since its new parent may never reap it.
fn wait_until_gone(pid: i32) {
    wait_until(&format!("process {pid} is gone"), || {
        !fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
    });
}

#[test]
fn starts_answers_without_tcp_and_stops() {
    let dir = open_tempdir();
    let server = start(dir.path());
    assert!(!server.is_joined());
    assert_eq!(server.note(), None);
    let pid = cluster_pid(dir.path());
    let output = ask(
        &server.connection_string(),
        "SELECT current_user || ' ' || current_database() || ' ' || current_setting('server_encoding') || ' ['
             || current_setting('listen_addresses') || '] ' || current_setting('max_connections')",
    );
    assert_eq!(output, "ticker ticker UTF8 [] 50");
    let psql = format!("{} -tAc 'SELECT 41 + 1'", server.psql_command());
    let answer = Command::new("sh").args(["-c", &psql]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "42");
    server.stop();
    wait_until_gone(pid);
    assert!(!dir.path().join("pg/postmaster.pid").exists());
}

#[test]
fn keeps_the_data_and_stays_durable_by_default() {
    let dir = open_tempdir();
    let server = PrivatePostgres::start(dir.path(), Options::default(), DEADLINE).unwrap();
    let create = "CREATE TABLE kept AS SELECT 'still here' AS what";
    block_on(async { connect(&server.connection_string()).await.batch_execute(create).await.unwrap() });
    let settings = "SELECT current_setting('fsync') || current_setting('synchronous_commit') || current_setting('full_page_writes')";
    assert_eq!(ask(&server.connection_string(), settings), "ononon");
    server.stop();
    let server = start(dir.path());
    assert_eq!(ask(&server.connection_string(), "SELECT what FROM kept"), "still here");
}

#[test]
fn a_second_start_joins_and_its_stop_leaves_the_server_alone() {
    let dir = open_tempdir();
    let first = start(dir.path());
    let second = start(dir.path());
    assert!(second.is_joined());
    assert_eq!(second.connection_string(), first.connection_string());
    second.stop();
    assert_eq!(ask(&first.connection_string(), "SELECT 'yes'"), "yes");
}

#[test]
fn a_daemon_waits_for_the_other_process_instead_of_joining() {
    let dir = open_tempdir();
    let first = start(dir.path());
    let options = || Options { if_running: IfRunning::WaitUntilGone, ..test_options() };
    let refused = PrivatePostgres::start(dir.path(), options(), Duration::from_millis(200)).unwrap_err();
    assert!(matches!(refused, PrivatePostgresError::InUse { .. }) && refused.is_transient());
    let output = refused.to_string();
    assert!(output.contains(&format!("by the process {}:", std::process::id())), "{output}");
    assert!(output.contains(dir.path().to_str().unwrap()) && output.contains("--data-dir"), "{output}");
    std::thread::scope(|scope| {
        let second =
            scope.spawn(|| PrivatePostgres::start(dir.path(), options(), DEADLINE).unwrap().is_joined());
        first.stop();
        assert!(!second.join().unwrap());
    });
}

#[test]
fn two_first_starts_at_once_make_one_cluster() {
    let dir = open_tempdir();
    let path = dir.path();
    // A thread that ends takes the server it spawned along: each stays until both have looked.
    let both_done = Barrier::new(2);
    let start_and_ask = || {
        let started = PrivatePostgres::start(path, test_options(), DEADLINE);
        let answer = started.as_ref().map(|server| ask(&server.connection_string(), "SELECT 'yes'")).ok();
        both_done.wait();
        assert_eq!(answer.as_deref(), Some("yes"), "{started:?}");
        started.unwrap().is_joined()
    };
    let (one_joined, other_joined) = std::thread::scope(|scope| {
        let one = scope.spawn(start_and_ask);
        let other = scope.spawn(start_and_ask);
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_ne!(one_joined, other_joined);
}

#[test]
fn starts_again_after_the_server_was_killed() {
    let dir = open_tempdir();
    let mut server = start(dir.path());
    assert!(server.is_running());
    kill(Pid::from_raw(cluster_pid(dir.path())), Signal::SIGKILL).unwrap();
    // Not `wait_until_gone`: an ending process already lacks its command line, but is not reaped yet.
    wait_until("the end of the server is noticed", || !server.is_running());
    server.stop();
    assert!(dir.path().join("pg/postmaster.pid").exists());
    assert_eq!(ask(&start(dir.path()).connection_string(), "SELECT 'yes'"), "yes");
}

#[test]
fn removes_a_pid_file_whose_number_another_program_has_now() {
    let dir = open_tempdir();
    let mut killed = start(dir.path());
    let socket_dir = killed.connection_string().split('\'').nth(1).unwrap().to_owned();
    kill(Pid::from_raw(cluster_pid(dir.path())), Signal::SIGKILL).unwrap();
    wait_until("the end of the server is noticed", || !killed.is_running());
    killed.stop();
    // A process of the server's own user: PostgreSQL takes it for a running postmaster and refuses to start.
    let mut other = as_server_user(dir.path(), "sleep").arg("600").spawn().unwrap();
    let text = format!("{}\n{}\n1\n5432\n\n\n\nready   \n", other.id(), dir.path().join("pg").display());
    fs::write(dir.path().join("pg/postmaster.pid"), &text).unwrap();
    fs::write(Path::new(&socket_dir).join(".s.PGSQL.5432.lock"), &text).unwrap();
    let server = start(dir.path());
    assert!(!server.is_joined());
    assert_eq!(ask(&server.connection_string(), "SELECT 'yes'"), "yes");
    assert!(other.try_wait().unwrap().is_none(), "the other program was stopped");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn clients_reach_a_server_whose_data_directory_has_a_comma() {
    let dir = open_tempdir();
    let data_dir = dir.path().join("a,b");
    fs::create_dir(&data_dir).unwrap();
    assert_eq!(ask(&start(&data_dir).connection_string(), "SELECT 'yes'"), "yes");
}

#[test]
fn a_relative_link_to_a_cluster_begins_at_the_link() {
    let dir = open_tempdir();
    start(dir.path()).stop();
    fs::rename(dir.path().join("pg"), dir.path().join("moved")).unwrap();
    symlink("moved", dir.path().join("pg")).unwrap();
    let server = start(dir.path());
    assert_eq!(ask(&server.connection_string(), "SELECT 'yes'"), "yes");
    assert!(dir.path().join("moved/postmaster.pid").exists(), "the server runs on the moved cluster");
}

#[test]
fn stops_a_server_that_outlived_its_daemon_and_starts_its_own() {
    let dir = open_tempdir();
    let server = start(dir.path());
    let program = fs::read_link(format!("/proc/{}/exe", server.server_pid().unwrap())).unwrap();
    server.stop();
    let cluster = fs::canonicalize(dir.path().join("pg")).unwrap();
    let mut survivor = as_server_user(dir.path(), program.to_str().unwrap())
        .args(["-c", "listen_addresses=", "-k", cluster.to_str().unwrap(), "-D"])
        .arg(&cluster)
        .spawn()
        .unwrap();
    let pid_file = dir.path().join("pg/postmaster.pid");
    wait_until("the survivor is ready", || {
        fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready"))
    });
    let server = start(dir.path());
    assert!(survivor.wait().unwrap().success(), "it was stopped cleanly");
    assert!(!server.is_joined());
    assert_eq!(ask(&server.connection_string(), "SELECT 'yes'"), "yes");
}

#[test]
fn refuses_data_of_another_major_version() {
    let dir = open_tempdir();
    fs::create_dir(dir.path().join("pg")).unwrap();
    fs::write(dir.path().join("pg/PG_VERSION"), "99\n").unwrap();
    let refused = PrivatePostgres::start(dir.path(), test_options(), DEADLINE).unwrap_err();
    assert!(
        matches!(&refused, PrivatePostgresError::OtherMajorVersion { found, .. } if found == "99"),
        "{refused}"
    );
    assert!(!refused.is_transient());
}

#[test]
fn a_half_made_cluster_is_created_again() {
    let dir = open_tempdir();
    fs::create_dir_all(dir.path().join("pg.new/base")).unwrap();
    fs::write(dir.path().join("pg.new/PG_VERSION"), "15\n").unwrap();
    assert_eq!(ask(&start(dir.path()).connection_string(), "SELECT 'yes'"), "yes");
    assert!(!dir.path().join("pg.new").exists());
}

#[test]
fn a_path_too_long_for_a_socket_still_works() {
    let dir = open_tempdir();
    let long = dir.path().join("it's a long one ".repeat(8));
    fs::create_dir(&long).unwrap();
    let server = start(&long);
    assert_eq!(ask(&server.connection_string(), "SELECT 'yes'"), "yes");
    let psql = server.psql_command();
    let socket_dir = psql.split_whitespace().find(|word| word.starts_with("/tmp/stellar-ticker-")).unwrap();
    assert!(Path::new(socket_dir).exists());
    server.stop();
    assert!(!Path::new(socket_dir).exists());
}

#[test]
fn a_path_with_spaces_and_quotes_works() {
    let dir = open_tempdir();
    let server = start(&dir.path().join("it's \\ here"));
    assert_eq!(ask(&server.connection_string(), "SELECT 'yes'"), "yes");
}

#[test]
fn as_root_a_closed_data_directory_gets_its_cluster_elsewhere() {
    if !Uid::effective().is_root() {
        return; // everybody else owns both the directory and the server
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let server = start(dir.path());
    let cluster = fs::read_link(dir.path().join("pg")).unwrap();
    assert!(cluster.starts_with("/var/lib/stellar-ticker"));
    assert!(server.note().unwrap().contains(cluster.to_str().unwrap()));
    assert_eq!(ask(&server.connection_string(), "SELECT 'yes'"), "yes");
    server.stop();
    // Found again by the link, and created again when only the link is left, as in a new container on an old volume.
    start(dir.path()).stop();
    fs::remove_dir_all(cluster.parent().unwrap()).unwrap();
    assert_eq!(ask(&start(dir.path()).connection_string(), "SELECT 'yes'"), "yes");
    fs::remove_dir_all(cluster.parent().unwrap()).unwrap();
}

#[test]
fn takes_the_server_along_when_killed_by_kill_9() {
    let dir = open_tempdir();
    let mut helper = helper(dir.path(), None);
    assert_eq!(first_line(&mut helper), "ready");
    let pid = cluster_pid(dir.path());
    helper.kill().unwrap();
    helper.wait().unwrap();
    wait_until_gone(pid);
    assert_eq!(ask(&start(dir.path()).connection_string(), "SELECT 'yes'"), "yes");
}

#[test]
fn works_for_a_user_who_is_not_root_and_names_a_wrong_owner() {
    let (true, Ok(Some(nobody))) = (Uid::effective().is_root(), User::from_name("nobody")) else {
        return; // only root can become another user; the other tests have run without root
    };
    let theirs = open_tempdir();
    chown(theirs.path(), Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
    let mut child = helper(theirs.path(), Some(&nobody));
    assert_eq!(first_line(&mut child), "ready");
    child.kill().unwrap();
    child.wait().unwrap();

    let roots = open_tempdir();
    start(roots.path()).stop();
    let mut child = helper(roots.path(), Some(&nobody));
    let text = first_line(&mut child);
    assert!(text.contains("belongs to the user postgres, but the program runs as the user nobody"), "{text}");
    child.wait().unwrap();

    // Root runs what the other user made as that user.
    let server = start(theirs.path());
    assert_eq!(ask(&server.connection_string(), "SELECT 'yes'"), "yes");
}

#[test]
fn each_fresh_database_is_empty_and_takes_a_schema() {
    block_on(async {
        for _ in 0..2 {
            let client = connect(&fresh_database().await).await;
            client.batch_execute("CREATE TABLE mine (id int)").await.unwrap();
        }
    });
}

/// Not a test: the process that others start in order to kill it. Without its variable it does nothing.
#[test]
#[ignore = "started by other tests as a process of its own"]
fn helper_process() {
    let Some(dir) = std::env::var_os("TICKER_TEST_HELPER_DIR") else { return };
    match PrivatePostgres::start(Path::new(&dir), test_options(), DEADLINE) {
        Ok(_server) => {
            eprintln!("ready");
            loop {
                std::thread::park();
            }
        }
        Err(error) => eprintln!("{error}"),
    }
}

fn helper(dir: &Path, user: Option<&User>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "private_postgres::helper_process", "--ignored", "--nocapture"])
        .env("TICKER_TEST_HELPER_DIR", dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.spawn().unwrap()
}

/// Standard error carries nothing but the helper's own line.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// A command as the user that runs the server of `dir`, without the death signal.
fn as_server_user(dir: &Path, program: &str) -> Command {
    use std::os::unix::fs::MetadataExt;
    let owner = fs::metadata(dir.join("pg")).unwrap();
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if Uid::effective().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command
}
