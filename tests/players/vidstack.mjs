// The loader of thumbnails of vidstack, and media-captions, which reads the cues for it.

import { readdirSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { createRequire } from 'node:module';
import vm from 'node:vm';
import { PAGE, page, part, response, until } from './page.mjs';

async function captions(packages) {
  const require = createRequire(`${packages}/`);
  return import(pathToFileURL(require.resolve('media-captions')));
}

/** Reads cues as the standard says. */
export async function standardCues(packages) {
  const { parseResponse } = await captions(packages);
  return async (text) => (await parseResponse(response(text))).cues;
}

export default async function make(packages) {
  const folder = `${packages}/vidstack/prod/chunks`;
  const mark = 'var ThumbnailsLoader = class ThumbnailsLoader {';
  const file = readdirSync(folder)
    .map((name) => `${folder}/${name}`)
    .find((file) => readFileSync(file, 'utf8').includes(mark));
  if (!file) throw new Error(`no file in ${folder} has ${mark}`);
  const current = {};
  const context = page(current);
  const standard = await captions(packages);
  // What the loader has from elsewhere in the package.
  Object.assign(context, {
    cache: new Map(),
    pending: new Map(),
    signal: (value) => Object.assign(() => value, { set: (next) => (value = next) }),
    effect: (run) => run(),
    peek: (read) => read(),
    useMediaContext: () => ({ $state: { canLoad: () => true } }),
    getRequestCredentials: () => 'omit',
    isString: (value) => typeof value === 'string',
    isNumber: (value) => typeof value === 'number' && !Number.isNaN(value),
    isObject: (value) => typeof value === 'object' && value !== null,
    isArray: Array.isArray,
    assert: (holds) => {
      if (!holds) throw new Error('an assertion of vidstack');
    },
    captions: Promise.resolve(standard),
  });
  const code = part(file, mark, '//#endregion')
    .replace('import("media-captions")', 'captions')
    // It says nothing to anybody.
    .replace('#onError(src, error) {}', '#onError(src, error) { globalThis.failure = error; }');
  vm.runInContext(`${code}\nglobalThis.ThumbnailsLoader = ThumbnailsLoader;`, context, {
    filename: file,
  });
  const read = async (text, url) => {
    current.text = text;
    context.failure = undefined;
    context.cache.clear();
    const loader = context.ThumbnailsLoader.create(() => url, () => null);
    await until(() => (context.pending.size === 0 ? true : undefined));
    if (context.failure) throw context.failure;
    // The images are set a moment after that.
    await new Promise((resolve) => setImmediate(resolve));
    return loader.$images().map(({ startTime, endTime, url, width, height, coords }) => {
      return { start: startTime, end: endTime, url, ...coords, w: width, h: height };
    });
  };
  return { vidstack: read };
}
