// What TCPlayer makes of the payload of cues. Their times and payloads are read by the parser that it
// brings with it or, on browsers whose tracks it uses, by the browser's: here, by media-captions, which
// keeps to the same standard.

import vm from 'node:vm';
import { PAGE, page, part } from './page.mjs';
import { standardCues } from './vidstack.mjs';
import { videojsCues } from './videojs-vtt.mjs';

export default async function make(packages) {
  const file = `${packages}/tcplayer.js/dist/tcplayer.v5.3.4.min.js`;
  const code = part(file, 'parseImageLink=function', ';videojs.registerPlugin("VttThumbnail"');
  const { parseImageLink, parseBasePath } = vm.runInContext(
    `var ${code};({ parseImageLink, parseBasePath })`,
    page({}),
    { filename: file },
  );
  const standard = await standardCues(packages);
  const read = (cuesOf) => async (text, url) => {
    const basePath = parseBasePath(url);
    const cues = await cuesOf(text);
    return cues.map(({ startTime, endTime, text }) => {
      const { src, ...area } = parseImageLink(text, { basePath });
      return { start: startTime, end: endTime, url: new URL(src, PAGE), ...area };
    });
  };
  return {
    TCPlayer: read(videojsCues(`${packages}/tcplayer.js`)),
    'TCPlayer with tracks of the browser': read(standard),
  };
}
