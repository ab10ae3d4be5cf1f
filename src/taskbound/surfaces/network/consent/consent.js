// Looks now and then what became of the request, and goes on once it was answered, or can't be any more.
const main = document.querySelector("main[data-asked]");
const EVERY = 2000;
const MOST = 160; // a little over the five minutes that a request waits

async function look(path, tries) {
  try {
    const answer = await fetch(`${path}/state`, { cache: "no-store", credentials: "same-origin", redirect: "error" });
    if (!answer.ok || (await answer.json()).answered) {
      location.replace(path);
      return;
    }
  } catch {
    // not reached this time; the next look may
  }
  if (tries > 0) setTimeout(look, EVERY, path, tries - 1);
}

if (main !== null) setTimeout(look, EVERY, main.dataset.asked, MOST);
