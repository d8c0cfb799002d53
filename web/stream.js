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
// Silence of the holder after which another tab polls by itself: browsers stop tabs in the background. The holder passes
// on what the server sends every 10 seconds, and says so if the server is silent for SILENCE_MS.
const HOLDER_SILENCE_MS = 30_000;
// Events that the holder keeps for a tab that comes later: its figures may be ten seconds old.
const KEPT_MS = 15_000;

// Follows the stream of this browser, if it has all that this takes. `onEvent` gets the data of an event, or null when
// figures must be read again, and `onState` "live" or "poll". Before the first state there is no stream.
export function follow(onEvent, onState) {
  const channel = openChannel();
  if (!channel) return;
  const id = Math.random();
  let state = null;
  let watch = null;
  const become = (next) => {
    if (state === next) return;
    state = next;
    onState(state);
  };
  const receive = ({ data }) => {
    if (data.kind === "join" || (data.to !== undefined && data.to !== id)) return;
    clearTimeout(watch);
    watch = setTimeout(() => become("poll"), HOLDER_SILENCE_MS);
    if (data.state) become(data.state); // a tab with the script of an older version sends none with an event
    if (data.kind === "event") onEvent(data.event);
  };
  channel.addEventListener("message", receive);
  channel.postMessage({ kind: "join", id });
  // Granted when the tab that holds it is gone, and held for as long as this tab lives.
  const lock = navigator.locks.request(NAME, () => {
    channel.removeEventListener("message", receive);
    clearTimeout(watch);
    return hold(channel, onEvent, become);
  });
  lock.catch((error) => console.warn("this browser shares no stream:", error));
}

// Channel between the tabs, or null. Locks exist only in secure contexts: HTTPS, or this machine.
function openChannel() {
  if (!("locks" in navigator && "BroadcastChannel" in window && "EventSource" in window)) return null;
  try {
    return new BroadcastChannel(NAME);
  } catch (error) {
    // The reader denies the site all storage.
    console.warn("this browser shares no stream:", error);
    return null;
  }
}

function hold(channel, onEvent, onState) {
  let kept = [];
  let state = null;
  let failures = 0;
  const send = (message) => channel.postMessage({ ...message, state });
  const become = (next) => {
    if (state === next) return;
    state = next;
    onState(state);
    send({ kind: "state" });
  };
  const pass = (event) => {
    const at = performance.now();
    kept = [...kept.filter((one) => at - one.at < KEPT_MS), { at, event }];
    onEvent(event);
    send({ kind: "event", event });
  };
  channel.addEventListener("message", ({ data }) => {
    if (data.kind !== "join" || !state) return;
    send({ kind: "state", to: data.id });
    for (const { event } of kept) send({ kind: "event", event, to: data.id });
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
    const received = () => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        isDoubted = true;
        failures += 1;
        become("poll");
        again();
      }, SILENCE_MS);
    };
    received();
    for (const name of ["hello", "board", "reset", "quiet", "error"]) stream.addEventListener(name, received);
    stream.addEventListener("board", ({ data }) => {
      arrives();
      pass(JSON.parse(data));
    });
    stream.addEventListener("quiet", () => {
      arrives();
      send({ kind: "state" });
    });
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
