//! The faults that can happen.

use super::*;
use crate::matrix::LAKE_FAULTS;

/// Shortest time between two panics in one process. The supervisor gives up if they are more frequent.
const PANIC_PAUSE: Duration = Duration::from_secs(25);
/// Raises one of the passing states in some transactions.
const REFUSE: &str = "
    CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF random() < 0.4 THEN RAISE EXCEPTION 'refused' USING
            ERRCODE = (ARRAY['40001', '40P01', '55P03', '53200', '57014'])[1 + floor(random() * 5)::int]; END IF;
        RETURN NULL; END $$;
    CREATE TRIGGER refuse AFTER INSERT ON ingest_batches FOR EACH ROW EXECUTE FUNCTION refuse();";

impl Chaos {
    /// One fault, from its beginning to its end.
    pub(super) async fn act(&mut self) {
        let place = self.random.random_range(0..2);
        let name = NAMES[place];
        let time = self.moment(6);
        match self.random.random_range(0..16) {
            0 => {
                self.log(&format!("{name} is killed"));
                self.both[place].kill();
                self.restart(place);
            }
            1 => {
                self.log(&format!("{name} receives SIGTERM"));
                assert!(self.both[place].terminate().success());
                self.restart(place);
            }
            2 => {
                self.log(&format!("{name} stands still for {time:?}"));
                self.both[place].signal(Signal::SIGSTOP);
                tokio::time::sleep(time).await;
                self.both[place].signal(Signal::SIGCONT);
            }
            3 => {
                self.log("all sessions are ended");
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                           WHERE application_name = 'stellar-ticker'";
                self.server.command(end).await;
            }
            4 => {
                self.log(&format!("PostgreSQL is away for {time:?}"));
                self.server.stop();
                tokio::time::sleep(time).await;
                self.server.start_again();
            }
            5 => {
                self.log(&format!("PostgreSQL is killed, and {name} while it is away"));
                self.server.kill();
                self.both[place].kill();
                self.server.start_again();
                self.restart(place);
            }
            6 => self.read_only(time).await,
            7 => self.locked(time).await,
            8 => {
                self.log(&format!("transactions are refused for {time:?}"));
                self.server.command(REFUSE).await;
                tokio::time::sleep(time).await;
                self.server.command("DROP TRIGGER refuse ON ingest_batches").await;
            }
            9 | 10 => {
                self.log("the lease is taken away");
                self.server.command("UPDATE ingest_lease SET expires_at = '-infinity'").await;
            }
            11 => self.panic(place),
            12 => self.fail_over(time).await,
            13 => self.spoil_the_lake(),
            14 => self.stop_the_lake(time).await,
            _ => {
                self.log(&format!("the files of {name} are removed"));
                let output = self.outputs[place].path().join("www");
                crate::support::wait_until("they are gone", || {
                    std::fs::remove_dir_all(&output).is_ok() || !output.exists()
                });
                crate::support::wait_until("they are back", || output.join("markets.json").exists());
            }
        }
    }

    fn spoil_the_lake(&mut self) {
        let fault = LAKE_FAULTS[self.random.random_range(0..LAKE_FAULTS.len())];
        let ledger = self.sim.oracle().head().latest + self.random.random_range(1..10);
        self.log(&format!("the object of ledger {ledger} in the lake: {fault:?}"));
        self.sim.lake().spoil(ledger, fault);
    }

    async fn stop_the_lake(&self, time: Duration) {
        self.log(&format!("the lake does not grow for {time:?}"));
        self.sim.lake().stop_at(Some(self.sim.oracle().head().latest));
        tokio::time::sleep(time).await;
        self.sim.lake().stop_at(None);
    }

    async fn read_only(&self, time: Duration) {
        self.log(&format!("PostgreSQL only reads for {time:?}"));
        self.server.set("SET default_transaction_read_only = on").await;
        tokio::time::sleep(time).await;
        self.server.set("RESET default_transaction_read_only").await;
    }

    async fn locked(&self, time: Duration) {
        self.log(&format!("the trades are locked for {time:?}"));
        let client = self.server.client().await;
        client.batch_execute("BEGIN; LOCK TABLE trades IN ACCESS EXCLUSIVE MODE").await.unwrap();
        tokio::time::sleep(time).await;
        client.batch_execute("ROLLBACK").await.unwrap();
    }

    fn panic(&mut self, place: usize) {
        let actors = self.both[place].actors();
        let actor = &actors[self.random.random_range(0..actors.len())];
        if self.panicked[place].is_some_and(|at| at.elapsed() < PANIC_PAUSE) {
            return;
        }
        self.log(&format!("{actor} of {} panics", NAMES[place]));
        self.panicked[place] = Some(Instant::now());
        self.both[place].provoke(actor, "Ping");
    }

    /// The server fails, and with it is lost what it committed in this time.
    async fn fail_over(&mut self, time: Duration) {
        self.log(&format!("a standby takes over that lacks the last {time:?}"));
        self.server.stop();
        self.server.save();
        self.server.start_again();
        tokio::time::sleep(time).await;
        self.server.kill();
        self.server.restore();
        self.server.start_again();
    }
}
