// The preview thumbnails of Plyr, without the rest of it.

import { readFileSync } from 'node:fs';
import vm from 'node:vm';
import { PAGE, page } from './page.mjs';

export default function make(packages) {
  const file = `${packages}/plyr/dist/plyr.mjs`;
  const current = {};
  const context = page(current);
  const code = readFileSync(file, 'utf8').replace(
    'export { Plyr as default };',
    'globalThis.PreviewThumbnails = PreviewThumbnails;',
  );
  vm.runInContext(code, context, { filename: file });
  const read = async (text, url) => {
    current.text = text;
    const config = { previewThumbnails: { enabled: false } };
    const player = { config, elements: { display: {} }, isHTML5: true, isVideo: true };
    const thumbnails = new context.PreviewThumbnails(player);
    await thumbnails.getThumbnail(url);
    const [{ frames, urlPrefix }] = thumbnails.thumbnails;
    return frames.map(({ startTime, endTime, text, x, y, w, h }) => {
      return { start: startTime, end: endTime, url: new URL(urlPrefix + text, PAGE), x, y, w, h };
    });
  };
  return { Plyr: read };
}
