// Which files a reply can carry, said before anything is uploaded. No DOM.

// Megabytes of a file by channel and kind, as Chatwoot's own page allows them (fileUploadRules.ts of @chatwoot/utils).
const CHANNELS = {
  "Channel::FacebookPage": { image: 8, audio: 25, video: 25, file: 25 },
  "Channel::Instagram": { image: 16, audio: 25, video: 25 },
  "Channel::Line": { image: 10 },
  "Channel::Tiktok": { image: 3 },
  "Channel::TwilioSms": { image: 5, audio: 5, video: 5, file: 5 },
  "Channel::Whatsapp": { image: 5, audio: 16, video: 16, file: 100 },
};
const ANY_MB = 40;
const MB = 1024 * 1024;

// What of `more` goes with the `files` that are chosen already. `channel`: as Chatwoot names it, null for a note, which goes to none.
// `limits`: {files, bytes}, the server's -> {taken, refused: [{key, values}]}: texts that say why, each with the file's name.
export function sorted(files, more, channel, limits) {
  const taken = [...files];
  const refused = [];
  const allowed = Math.floor((limits.bytes / MB) * 10) / 10; // what is said of a file too large is more than what is said of the limit
  let bytes = files.reduce((sum, { size }) => sum + size, 0);
  for (const file of more) {
    const { name, size } = file;
    const most = mostOf(file.type, channel);
    const refuse = (key, values) => refused.push({ key, values: { name, ...values } });
    if (size === 0) refuse("upload.empty", {});
    else if (size > Math.min(most * MB, limits.bytes)) refuse("upload.tooLarge", { size: Math.ceil((size / MB) * 10) / 10, most: Math.min(most, allowed) });
    else if (bytes + size > limits.bytes) refuse("upload.together", { most: allowed });
    else if (taken.length >= limits.files) refuse("upload.tooMany", { most: limits.files });
    else {
      taken.push(file);
      bytes += size;
    }
  }
  return { taken, refused };
}

function mostOf(type, channel) {
  const kind = type.split("/")[0];
  return CHANNELS[channel]?.[["image", "audio", "video"].includes(kind) ? kind : "file"] ?? ANY_MB;
}
