// Shows what the daemon asks, has the passkey sign it, and brings the signature back.
//
// 1. Whatever is shown is set as text, never as markup (the page's policy forbids it, too).
// 2. What the passkey signs is the digest of the statement that stands on the page, computed here.
// 3. Nothing is kept; the token leaves the address before anything else happens.

const SITE = "localhost";
const PATIENCE = 120000;
const ES256 = -7, EDDSA = -8;
const WORDS = { approve: "Approve this one action", deny: "Deny it, for good", confirm: "Confirm this one action", enroll: "Sign this" };

const token = location.hash.slice(1);
history.replaceState(null, "", "/");
const at = (name) => document.getElementById(name);
const say = (text) => { at("said").textContent = text; };

const encode = (buffer) => {
  let text = "";
  for (const one of new Uint8Array(buffer)) text += String.fromCharCode(one);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};
const decode = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const named = (id) => ({ type: "public-key", id: decode(id) });

async function ask(path, what) {
  const answer = await fetch(path, {
    method: "POST", body: JSON.stringify(what), headers: { "Content-Type": "application/json" },
    cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
  }).catch(() => { throw new Error("This page is over. Run the command again for another one."); });
  const found = await answer.json();
  if (!answer.ok) throw new Error(`${found.message} [${found.code}]\nwhat to do: ${found.advice}`);
  return found;
}

async function make(shown) {
  const made = await navigator.credentials.create({
    publicKey: {
      challenge: decode(shown.make.challenge), rp: { id: SITE, name: "Taskbound" },
      user: { id: decode(shown.make.user), name: shown.person, displayName: shown.person },
      pubKeyCredParams: [{ type: "public-key", alg: ES256 }, { type: "public-key", alg: EDDSA }],
      authenticatorSelection: { userVerification: "required", residentKey: "discouraged" },
      attestation: "none", excludeCredentials: (shown.make.without ?? []).map(named), timeout: PATIENCE,
    },
  });
  show(await ask("/make", {
    sitting: shown.sitting, client: encode(made.response.clientDataJSON), credential: encode(made.rawId),
    device: encode(made.response.getAuthenticatorData()),
  }));
}

async function sign(shown, choice) {
  const challenge = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(choice.statement));
  const signed = await navigator.credentials.get({
    publicKey: {
      challenge, rpId: SITE, allowCredentials: [named(shown.credential)],
      userVerification: "required", timeout: PATIENCE,
    },
  });
  const taken = await ask("/sign", {
    sitting: shown.sitting, choice: choice.name, client: encode(signed.response.clientDataJSON),
    credential: encode(signed.rawId), device: encode(signed.response.authenticatorData),
    signature: encode(signed.response.signature),
  });
  at("choices").replaceChildren();
  say(`${taken.words}\nYou can close this page.`);
}

function button(name, words, work) {
  const made = document.createElement("button");
  made.type = "button";
  made.id = name;
  made.textContent = words;
  made.addEventListener("click", async (event) => {
    if (!event.isTrusted) return;
    const all = [...document.querySelectorAll("button")];
    for (const one of all) one.disabled = true;
    say("Your browser asks for your passkey.");
    try {
      await work();
    } catch (error) {
      say(error.message);
      for (const one of all) one.disabled = false;
    }
  });
  return made;
}

function show(shown) {
  at("title").textContent = shown.title;
  at("person").textContent = `For ${shown.person}, and for nobody else.`;
  at("text").textContent = shown.text;
  const parts = (shown.choices ?? []).map((choice) => {
    const part = document.createElement("section");
    const statement = document.createElement("pre");
    statement.textContent = choice.statement;
    part.append(statement, button(choice.name, WORDS[choice.name], () => sign(shown, choice)));
    return part;
  });
  if (shown.make) parts.push(button("make", "Make a passkey", () => make(shown)));
  at("choices").replaceChildren(...parts);
  say("");
}

async function begin() {
  if (window.top !== window.self) return say("This page is nothing for a frame.");
  if (navigator.serviceWorker?.controller) {
    return say("Another program has left something in your browser at this address. Use a private window.");
  }
  if (!token) return say("Open the whole address that the command wrote; it works once.");
  if (!window.PublicKeyCredential) return say("This browser knows no passkeys.");
  try {
    show(await ask("/begin", { token }));
  } catch (error) {
    say(error.message);
  }
}

await begin();
