// The service: one request an image, with its progress; refusals come back as sentences.

const BUSY = [429, 503];
const TRIES = 6;

let key = "";

export const useKey = (given) => { key = given; };

const authorised = () => (key ? { Authorization: `Bearer ${key}` } : {});

export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export async function models() {
  const answer = await fetch("v1/models", { headers: authorised() });
  const said = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, said.error);
  return said;
}

// Judges a file; `wanted` names what is to come with the verdict, `onProgress` is told 0 to 1 while it is sent.
export async function detect(file, wanted = [], onProgress = () => {}) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await send(file, wanted, onProgress);
    } catch (refused) {
      if (!BUSY.includes(refused.status) || tried === TRIES) throw refused;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** tried * (0.5 + Math.random())));
    }
  }
}

function send(file, wanted, onProgress) {
  const form = new FormData();
  form.append("file", file, file.name);
  for (const name of wanted) form.append(name, "true");
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "v1/detect");
    request.responseType = "json";
    for (const [name, value] of Object.entries(authorised())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.upload.onload = () => onProgress(1);
    request.onerror = () => reject(new Refused(0, "The service did not answer."));
    request.onload = () => request.status === 200
      ? resolve(request.response)
      : reject(new Refused(request.status, request.response?.error ?? `The service answered ${request.status}.`));
    request.send(form);
  });
}
