// As much of a web page as the players' parsers ask for.

import { readFileSync } from 'node:fs';
import vm from 'node:vm';

/** The page that the player is on: elsewhere than the texts. */
export const PAGE = 'https://page.example/watch/index.html';

/** Whatever is asked of it, it is that as well. */
function anything() {
  const be = new Proxy(function () {}, {
    get: (_, name) => (name === Symbol.toPrimitive ? () => '' : name === 'then' ? undefined : be),
    set: () => true,
    has: () => true,
    apply: () => be,
    construct: () => be,
  });
  return be;
}

/** A page on which every request is answered with the text of `current`. */
export function page(current) {
  class XMLHttpRequest {
    withCredentials = false;
    #listeners = [];
    addEventListener(name, listener) {
      if (name === 'load') this.#listeners.push(listener);
    }
    open() {}
    send() {
      this.responseText = current.text;
      queueMicrotask(() => this.#listeners.forEach((listener) => listener.call(this)));
    }
  }
  // Every image loads.
  class Image {
    set src(url) {
      queueMicrotask(() => this.onload?.());
    }
  }
  const location = new URL(PAGE);
  const window = { location, document: anything(), navigator: anything(), addEventListener() {} };
  return vm.createContext(
    Object.assign(window, {
      window,
      XMLHttpRequest,
      Image,
      console,
      setTimeout,
      clearTimeout,
      setInterval: anything(),
      clearInterval() {},
      queueMicrotask,
      URL,
      Promise,
      fetch: async () => response(current.text),
    }),
  );
}

/** An answer with a text. */
export function response(text) {
  return new Response(text, { headers: { 'content-type': 'text/vtt' } });
}

/** The part of a file of a package from `start` up to `end`: the player's own code, which this version has. */
export function part(file, start, end) {
  const text = readFileSync(file, 'utf8');
  const from = text.indexOf(start);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`${file} has no ${start} … ${end}`);
  return text.slice(from, to);
}

/** Waits until there is something. */
export async function until(look) {
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
