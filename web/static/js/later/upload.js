// Sends a form and tells how far it has come.

import { ApiError } from "../api.js";

// fetch does not tell how far it has come with a body.
export function upload(path, form, headers, onProgress) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "json";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
    request.onload = () => done({ status: request.status, data: request.response });
    request.onerror = () => fail(new ApiError("offline"));
    request.send(form);
  });
}
