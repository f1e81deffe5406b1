// The plugin of video.js, whole, at a player that is none.

import { readFileSync } from 'node:fs';
import vm from 'node:vm';
import { PAGE, page, until } from './page.mjs';

export default function make(packages) {
  const file = `${packages}/videojs-vtt-thumbnails/dist/videojs-vtt-thumbnails.cjs.js`;
  const current = {};
  const context = page(current);
  let plugin;
  const videojs = {
    registerPlugin: (_, register) => (plugin = register),
    mergeOptions: (...all) => Object.assign({}, ...all),
  };
  Object.assign(context, { require: () => videojs, module: {}, exports: {} });
  vm.runInContext(readFileSync(file, 'utf8'), context, { filename: file });
  const read = async (text, url) => {
    current.text = text;
    const player = { addClass() {}, on() {}, $: () => context.document, ready: (then) => then() };
    plugin.call(player, { src: url });
    const cues = await until(() => player.vttThumbnails.vttData);
    return cues.map(({ start, end, css }) => {
      const [, image, x, y] = css.background.match(/^url\("(.*)"\)(?: no-repeat -(.*)px -(.*)px)?$/s);
      const [w, h] = [css.width, css.height].map((size) => size?.replace(/px$/, ''));
      return { start, end, url: new URL(image, PAGE), x, y, w, h };
    });
  };
  return { 'videojs-vtt-thumbnails': read };
}
