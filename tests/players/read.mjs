// Has the players' own parsers read WebVTT texts.
//
//   node read.mjs PACKAGES < texts.json > answers.json
//
// PACKAGES is the folder with the players' node_modules. Standard input is a list of texts, each with
// `url` and, in base64, `bytes`. The answer is a list of objects, one for each text: by player, either
// the `cues` that it read or the `error` with which it failed. A cue has `start` and `end` in seconds,
// the `url` of its sheet, and `x`, `y`, `w`, `h`; what the player does not know is null.

import { readFileSync } from 'node:fs';
import artplayer from './artplayer.mjs';
import plyr from './plyr.mjs';
import tcplayer from './tcplayer.mjs';
import thumbnails from './videojs-vtt-thumbnails.mjs';
import videojs from './videojs-vtt.mjs';
import vidstack from './vidstack.mjs';

const packages = `${process.argv[2]}/node_modules`;
const texts = JSON.parse(readFileSync(0, 'utf8'));

// What a player throws where nobody waits for it.
let failed = () => {};
process.on('unhandledRejection', (error) => failed(error));

/** What `read` makes of a text; a player that never ends with it has failed. */
function read(player, text, url) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve({ error: 'it waits for ever' }), 2000);
    const end = (answer) => {
      clearTimeout(timer);
      resolve(answer);
    };
    failed = (error) => end({ error: String(error) });
    Promise.resolve()
      .then(() => player(text, url))
      .then((cues) => end({ cues: cues.map(plain) }), failed);
  });
}

/** A cue with numbers and null alone. */
function plain({ start, end, url, x, y, w, h }) {
  const number = (value) => {
    const read = typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
    return typeof read === 'number' && Number.isFinite(read) ? read : null;
  };
  const area = { x: number(x), y: number(y), w: number(w), h: number(h) };
  return { start: number(start), end: number(end), url: String(url), ...area };
}

const players = {};
for (const make of [thumbnails, plyr, artplayer, tcplayer, vidstack, videojs]) {
  Object.assign(players, await make(packages));
}
const answers = [];
for (const { url, bytes } of texts) {
  // As a browser decodes it: the byte-order mark goes.
  const text = new TextDecoder().decode(Buffer.from(bytes, 'base64'));
  const answer = {};
  for (const [name, player] of Object.entries(players)) {
    answer[name] = await read(player, text, url);
  }
  answers.push(answer);
}
// A player may have left timers behind.
process.stdout.write(`${JSON.stringify(answers)}\n`, () => process.exit(0));
