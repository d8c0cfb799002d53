// Keeps a page of the admin listener up to date: when something was recorded, it loads the page again, at most once a
// second, and replaces its content. Without script the page shows the moment at which it was loaded.
const EVERY_MS = 1000;
const content = document.getElementById("content");
const updates = document.getElementById("updates");

let isDue = false;
let isLoading = false;

// A reader who selects text or types keeps what is there.
function isInUse() {
  return content.contains(document.activeElement) || !document.getSelection().isCollapsed;
}

async function reload() {
  if (!isDue || isLoading || document.hidden || isInUse()) return;
  isDue = false;
  isLoading = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    content.replaceChildren(...page.getElementById("content").childNodes);
    updates.replaceChildren(...page.getElementById("updates").childNodes);
  } catch (error) {
    updates.textContent = `no answer from the daemon: ${error.message}`;
  } finally {
    isLoading = false;
  }
}

if (content.dataset.live === "reload") {
  const stream = new EventSource("/trace/stream");
  stream.addEventListener("record", () => { isDue = true; });
  stream.addEventListener("error", () => { isDue = true; });
  setInterval(reload, EVERY_MS);
}
