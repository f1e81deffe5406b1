// The plugin of ArtPlayer.

import { readFileSync } from 'node:fs';
import vm from 'node:vm';
import { PAGE, page } from './page.mjs';

export default function make(packages) {
  const file = `${packages}/artplayer-plugin-vtt-thumbnail/dist/artplayer-plugin-vtt-thumbnail.mjs`;
  const current = {};
  const context = page(current);
  const code = readFileSync(file, 'utf8').replace(/^export \{[^}]*\};?/m, '');
  vm.runInContext(`${code}\nglobalThis.getVttArray = getVttArray;`, context, { filename: file });
  const read = async (text, url) => {
    current.text = text;
    const cues = await context.getVttArray(url);
    return cues.map((cue) => ({ ...cue, url: new URL(cue.url, PAGE) }));
  };
  return { ArtPlayer: read };
}
