// The link's fragment is `answer.token`. Nothing is sent before the button is pressed, so that whoever only looks at a
// link, as mail scanners do, uses nothing up.
"use strict";
const words = {
  accept: "Accept the invitation",
  decline: "Decline the invitation",
  decline_and_switch_off: "Decline, and switch extended availability off",
};
const [answer, token] = location.hash.slice(1).split(".", 2);
const what = document.getElementById("what");
const button = document.getElementById("answer");
history.replaceState(null, "", location.pathname);
if (Object.hasOwn(words, answer) && token) {
  what.textContent = "A colleague asks you to join a session.";
  button.textContent = words[answer];
  button.hidden = false;
} else {
  what.textContent = "This link is not whole: copy all of it from the mail.";
}
button.addEventListener("click", async () => {
  button.disabled = true;
  const body = JSON.stringify({ token, answer });
  const headers = { "content-type": "application/json" };
  try {
    const response = await fetch("/v1/invitation", { method: "POST", headers, body });
    const problem = response.ok ? null : await response.json();
    if (problem && (response.status === 429 || response.status >= 500)) {
      what.textContent = `${problem.detail}. Try again in a minute.`;
      button.disabled = false;
      return;
    }
    what.textContent = problem ? problem.detail : answer === "accept"
      ? "Accepted. Sign in to your console: you join as soon as you are there."
      : "Done.";
    button.hidden = true;
  } catch {
    what.textContent = "The broker is not reached. Try again.";
    button.disabled = false;
  }
});
