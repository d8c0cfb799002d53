// One stream of the board per browser: the tab that holds the lock has the connection and passes the events on to the
// others. A browser has six connections to a host over HTTP/1.1, so a stream for each tab would block the seventh.
const PATH = "/api/v1/stream?board=1";
const NAME = "ticker-board";
// Failures in a row after which the tabs poll.
const FAILURES_MAX = 3;
// Wait before the stream is opened again, and the wait once the tabs poll.
const RETRY_MS = 2_000;
const RETRY_SLOWLY_MS = 30_000;
// Silence after which the stream is opened again. The server sends something every 10 seconds.
const SILENCE_MS = 25_000;
// Events that the holder keeps for a tab that comes later: its figures may be ten seconds old.
const KEPT_MS = 15_000;

// True if the browser has all that a shared stream takes. Locks exist only in secure contexts: HTTPS, or this machine.
export const isShared = () => "locks" in navigator && "BroadcastChannel" in window && "EventSource" in window;

// Follows the stream of this browser. `onEvent` gets the data of an event, or null when figures must be read again, and
// `onState` "live" or "poll".
export function follow(onEvent, onState) {
  const channel = new BroadcastChannel(NAME);
  channel.addEventListener("message", ({ data }) => {
    if (data.kind === "event") onEvent(data.event);
    if (data.kind === "state") onState(data.state);
  });
  channel.postMessage({ kind: "join" });
  // Granted when the tab that holds it is gone, and held for as long as this tab lives.
  navigator.locks.request(NAME, () => hold(channel, onEvent, onState));
}

function hold(channel, onEvent, onState) {
  let kept = [];
  let state = null;
  let failures = 0;
  const become = (next) => {
    if (state === next) return;
    state = next;
    onState(state);
    channel.postMessage({ kind: "state", state });
  };
  const pass = (event) => {
    const at = performance.now();
    kept = [...kept.filter((one) => at - one.at < KEPT_MS), { at, event }];
    onEvent(event);
    channel.postMessage({ kind: "event", event });
  };
  channel.addEventListener("message", ({ data }) => {
    if (data.kind !== "join" || !state) return;
    channel.postMessage({ kind: "state", state });
    for (const { event } of kept) channel.postMessage({ kind: "event", event });
  });
  // True after a silence, until an event shows that more comes through than the greeting.
  let isDoubted = false;
  const arrives = () => {
    if (isDoubted) pass(null); // the events of the silence are lost
    isDoubted = false;
    failures = 0;
    become("live");
  };
  const open = () => {
    const stream = new EventSource(PATH);
    // A connection that hangs gives no error.
    let watch = null;
    const again = () => {
      clearTimeout(watch);
      stream.close();
      setTimeout(open, failures >= FAILURES_MAX ? RETRY_SLOWLY_MS : RETRY_MS);
    };
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        isDoubted = true;
        failures += 1;
        become("poll");
        again();
      }, SILENCE_MS);
    };
    heard();
    for (const name of ["hello", "board", "reset", "quiet", "error"]) stream.addEventListener(name, heard);
    stream.addEventListener("board", ({ data }) => {
      arrives();
      pass(JSON.parse(data));
    });
    stream.addEventListener("quiet", arrives);
    stream.addEventListener("hello", () => {
      if (!isDoubted) become("live");
    });
    stream.addEventListener("reset", () => {
      arrives();
      pass(null);
    });
    // The browser comes back by itself with the id of the last event, unless the answer was an error.
    stream.addEventListener("error", () => {
      failures += 1;
      if (failures >= FAILURES_MAX) become("poll");
      if (stream.readyState === EventSource.CLOSED) again();
    });
  };
  open();
  return new Promise(() => {}); // keeps the lock
}
