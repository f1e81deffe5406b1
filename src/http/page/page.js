// Brings the page up to date in place, so that focus, selection, scrolling and what is open stay.
// Without it the page is as whole, and loads itself again.
"use strict";

const period = Number(document.documentElement.dataset.refresh) * 1000;
let isAsking = false;

function ask() {
  if (isAsking || document.hidden || isSelecting()) return;
  isAsking = true;
  const request = new XMLHttpRequest();
  request.open("GET", location.href);
  // A document that a request makes runs nothing.
  request.responseType = "document";
  request.timeout = period;
  request.onload = () => (request.status === 200 ? show(request.response) : showNone());
  request.onerror = request.ontimeout = showNone;
  request.onloadend = () => { isAsking = false; };
  request.send();
}

// A selection ends where its text is replaced.
function isSelecting() {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed;
}

function show(next) {
  const version = next?.documentElement.dataset.version;
  if (version === undefined) return showNone();
  if (version !== document.documentElement.dataset.version) return location.reload();
  if (isSelecting()) return;
  document.title = next.title;
  update(document.body, next.body);
}

// The daemon is gone, or another program answers in its place.
function showNone() {
  const gone = document.getElementById("gone");
  gone.hidden = false;
  document.title = gone.dataset.title;
}

// Makes a node like another, and touches no more of it than differs.
function update(node, next) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== next.data) node.data = next.data;
    return;
  }
  for (const name of node.getAttributeNames()) {
    // Whoever reads has opened it.
    if (name !== "open" && !next.hasAttribute(name)) node.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  updateChildren(node, next);
}

function updateChildren(node, next) {
  const keys = new Set(Array.from(next.children, keyOf));
  for (const child of [...node.children]) {
    // What is moved loses the focus: with those gone that are to go, the others mostly stay.
    if (keyOf(child) && !keys.has(keyOf(child))) child.remove();
  }
  const keyed = new Map(Array.from(node.children, (child) => [keyOf(child), child]));
  let at = node.firstChild;
  for (const child of [...next.childNodes]) {
    const same = keyOf(child) ? keyed.get(keyOf(child)) : at;
    if (!same || same.nodeName !== child.nodeName || keyOf(same) !== keyOf(child)) {
      node.insertBefore(document.adoptNode(child), at);
      continue;
    }
    keyed.delete(keyOf(child));
    if (same === at) at = at.nextSibling;
    else node.insertBefore(same, at);
    update(same, child);
  }
  while (at !== null) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
}

// What tells a node from its siblings, wherever it stands among them.
function keyOf(node) {
  return node.id || node.dataset?.key;
}

setInterval(ask, period);
document.addEventListener("visibilitychange", ask);
