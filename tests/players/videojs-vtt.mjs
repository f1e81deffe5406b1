// The parser of video.js: cues, whose payload is left to plugins.

import { createRequire } from 'node:module';

// An old version asks for it.
globalThis.navigator ??= { userAgent: '' };

/** A reader of cues: the version of the parser that the package in this folder uses. */
export function videojsCues(folder) {
  const require = createRequire(`${folder}/`);
  const WebVTT = require('videojs-vtt.js/lib/vtt.js');
  const VTTCue = require('videojs-vtt.js/lib/vttcue.js');
  return (text) => {
    const parser = new WebVTT.Parser({ VTTCue }, {}, WebVTT.StringDecoder());
    const cues = [];
    parser.oncue = (cue) => cues.push(cue);
    // video.js logs them and goes on.
    parser.onparsingerror = () => {};
    parser.parse(text);
    parser.flush();
    return cues;
  };
}

export default function make(packages) {
  const cuesOf = videojsCues(packages);
  const read = (text) =>
    cuesOf(text).map(({ startTime, endTime, text }) => {
      return { start: startTime, end: endTime, url: text };
    });
  return { 'videojs-vtt.js': read };
}
