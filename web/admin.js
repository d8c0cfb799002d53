// Keeps a page of the admin listener up to date: when something was recorded, it loads the page again, at most once a
// second, and replaces its content. Without script the page shows the moment at which it was loaded.
const EVERY_MS = 1000;
// Interval at which it loads again if the daemon records no messages.
const UNRECORDED_MS = 5000;
// Wait before the stream is opened again after the daemon refused it.
const RETRY_MS = 5000;
const content = document.getElementById("content");
const updates = document.getElementById("updates");
const stillness = document.getElementById("stillness");
const pause = document.getElementById("pause");

let isPaused = false;
let isDue = false;
let isLoading = false;

// A reader who selects text or types keeps what is there.
function isInUse() {
  return content.contains(document.activeElement) || !document.getSelection().isCollapsed;
}

// Says that the page stands still, and why.
function showStillness() {
  const text = isPaused ? "paused" : isInUse() ? "not updated while you select text or work in the page" : "";
  if (stillness.textContent !== text) stillness.textContent = text;
}

// Replaces the content. Regions that scroll sideways stay where they are.
function exchange(page) {
  const regions = () => content.querySelectorAll(".scroll");
  const places = new Map([...regions()].map((region) => [region.getAttribute("aria-label"), region.scrollLeft]));
  content.replaceChildren(...page.getElementById("content").childNodes);
  for (const region of regions()) region.scrollLeft = places.get(region.getAttribute("aria-label")) ?? 0;
  updates.replaceChildren(...page.getElementById("updates").childNodes);
}

async function reload() {
  showStillness();
  if (!isDue || isLoading || document.hidden || isPaused || isInUse()) return;
  isDue = false;
  isLoading = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (isPaused || isInUse()) isDue = true;
    else exchange(page);
  } catch (error) {
    updates.textContent = `no answer from the daemon: ${error.message}`;
  } finally {
    isLoading = false;
  }
}

// Follows the daemon. The browser opens a broken stream again by itself, but not one that was refused.
function follow() {
  const stream = new EventSource("/trace/stream");
  stream.addEventListener("record", () => { isDue = true; });
  stream.addEventListener("error", () => {
    isDue = true;
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, RETRY_MS);
  });
}

if (content.dataset.live) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    reload();
  });
  if (content.dataset.live === "recorded") follow();
  else setInterval(() => { isDue = true; }, UNRECORDED_MS);
  setInterval(reload, EVERY_MS);
}
