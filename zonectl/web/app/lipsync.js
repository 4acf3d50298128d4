/**
 * How well a person's sound and picture are together. Audio slot n and video slot n are offered in one stream for the first slots, and the router
 * puts a voice into the slot of its picture: the browser itself keeps such a pair in sync. This only measures it.
 */

/** Pictures that come more seldom say too little about when they are shown. */
const FEWEST_FRAMES = 5;

/**
 * @param {Iterable<any>} stats of the RTCPeerConnection
 * @param {{audio: string, video: string}[]} people mids of the slots of those whose sound and picture both play
 * @returns {number[]} how far video is ahead of audio, milliseconds, for those of whom the browser knows it
 */
export function skews(stats, people) {
  /** @type {Map<string, number>} */
  const playing = new Map();
  for (const one of stats) {
    const moves = one.kind !== 'video' || one.framesPerSecond >= FEWEST_FRAMES;
    if (one.type === 'inbound-rtp' && one.mid && moves && one.estimatedPlayoutTimestamp > 0) playing.set(one.mid, one.estimatedPlayoutTimestamp);
  }
  return people.flatMap(({ audio, video }) => {
    const heard = playing.get(audio);
    const seen = playing.get(video);
    return heard === undefined || seen === undefined ? [] : [seen - heard];
  });
}

/**
 * People whose sound and picture both are in slots.
 * @param {import('./protocol.js').Slot[]} slots
 */
export function pairs(slots) {
  return slots.flatMap((audio) => {
    if (audio.medium !== 'audio' || !audio.participant) return [];
    const video = slots.find((one) => one.medium === 'video' && one.participant === audio.participant && !one.paused);
    return video ? [{ audio: audio.mid, video: video.mid }] : [];
  });
}
