// @vladmandic/face-api in Node, on tfjs's WebAssembly backend (its native one is no package of the registry alone).
// The same protocol as protocol.py.
import { createRequire } from 'node:module';
import { openSync, readSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

const started = performance.now();
const require = createRequire(path.join(process.cwd(), 'x.js'));
const tf = require('@tensorflow/tfjs');
const wasm = require('@tensorflow/tfjs-backend-wasm');
const home = path.dirname(require.resolve('@vladmandic/face-api/package.json'));
const faceapi = require(path.join(home, 'dist/face-api.node-wasm.js'));

wasm.setWasmPaths(`${path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json'))}/dist/`);
await tf.setBackend('wasm');
await tf.ready();
const models = path.join(home, 'model');
await faceapi.nets.tinyFaceDetector.loadFromDisk(models);
await faceapi.nets.faceExpressionNet.loadFromDisk(models);
const options = new faceapi.TinyFaceDetectorOptions({ inputSize: 320 });
const names = ['angry', 'disgusted', 'fearful', 'happy', 'sad', 'surprised', 'neutral'];

async function analyse(bgr, width, height) {
  const rgb = tf.tidy(() => tf.reverse(tf.tensor3d(bgr, [height, width, 3], 'int32'), -1));
  const found = await faceapi.detectAllFaces(rgb, options).withFaceExpressions();
  rgb.dispose();
  return found.length;
}

async function classify(grey) {
  const face = tf.tidy(() => tf.tile(tf.tensor3d(grey, [48, 48, 1], 'int32'), [1, 1, 3]));
  const said = await faceapi.nets.faceExpressionNet.predictExpressions(face);
  face.dispose();
  return names.reduce((best, name, at) => (said[name] > said[names[best]] ? at : best), 0);
}

const [mode, file, ...numbers] = process.argv.slice(2);
if (mode === 'frames') {
  const [width, height, count] = numbers.map(Number);
  const size = width * height * 3;
  const held = Math.floor(statSync(file).size / size);
  const handle = openSync(file, 'r');
  const frames = Array.from({ length: held }, (_, at) => {
    const frame = new Uint8Array(size);
    readSync(handle, frame, 0, size, at * size);
    return frame;
  });
  for (const frame of frames.slice(0, 3)) await analyse(frame, width, height);
  const load = (performance.now() - started) / 1000;
  const seconds = [];
  let faces = 0;
  for (let number = 0; number < count; number += 1) {
    const began = performance.now();
    faces += await analyse(frames[number % held], width, height);
    seconds.push((performance.now() - began) / 1000);
  }
  const megabytes = (process.resourceUsage().maxRSS * 1024 - held * size) / 1e6;
  console.log(JSON.stringify({ seconds, faces: faces / count, load, megabytes }));
} else {
  const all = readFileSync(file);
  const labels = [];
  for (let at = 0; at < Number(numbers[0]); at += 1) {
    labels.push(await classify(new Uint8Array(all.subarray(at * 2304, (at + 1) * 2304))));
  }
  console.log(JSON.stringify({ labels }));
}
