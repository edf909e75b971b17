// Reads a QR code from the camera or from a picture into the box of the page Verify. Pictures stay in this browser; without this
// script the code is pasted. The words stand in the page.
const tools = document.getElementById("camera");
const box = document.getElementById("pasted");
const said = document.getElementById("camera-said");
const show = document.getElementById("camera-show");
const start = document.getElementById("camera-start");
const stop = document.getElementById("camera-stop");
const picture = document.getElementById("camera-picture");
const canvas = document.createElement("canvas");
const SIDE_MAX = 1600;
let stream = null;

function read(source, width, height) {
  const scale = Math.min(1, SIDE_MAX / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const drawn = canvas.getContext("2d", { willReadFrequently: true });
  drawn.fillStyle = "#fff";
  drawn.fillRect(0, 0, canvas.width, canvas.height);
  drawn.drawImage(source, 0, 0, canvas.width, canvas.height);
  const { data } = drawn.getImageData(0, 0, canvas.width, canvas.height);
  const found = jsQR(data, canvas.width, canvas.height);
  return found && found.data ? found.data : "";
}

function take(text) {
  box.value = text;
  said.textContent = tools.dataset.found;
  end();
  box.form.requestSubmit();
}

function end() {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
  show.hidden = true;
  stop.hidden = true;
  start.hidden = !navigator.mediaDevices;
}

function look() {
  if (!stream) return;
  const text = show.readyState >= 2 ? read(show, show.videoWidth, show.videoHeight) : "";
  if (text) take(text);
  else setTimeout(look, 200);
}

async function begin() {
  said.textContent = "";
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch {
    said.textContent = tools.dataset.denied;
    return;
  }
  show.srcObject = stream;
  show.hidden = false;
  stop.hidden = false;
  start.hidden = true;
  await show.play();
  said.textContent = tools.dataset.aim;
  look();
}

async function open() {
  const [file] = picture.files;
  if (!file) return;
  said.textContent = "";
  try {
    const image = await createImageBitmap(file);
    const text = read(image, image.width, image.height);
    if (text) take(text);
    else said.textContent = tools.dataset.nothing;
  } catch {
    said.textContent = tools.dataset.nothing;
  }
}

start.addEventListener("click", begin);
stop.addEventListener("click", end);
picture.addEventListener("change", open);
tools.hidden = false;
start.hidden = !navigator.mediaDevices;
