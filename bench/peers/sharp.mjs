// The archive stage by sharp and archiver, as a Node service has it.  node sharp.mjs MODULES SIDE ARCHIVE THREADS FILES...
import { once } from "node:events";
import { createWriteStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, side, target, threads, ...paths] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const sharp = require("sharp");
const { ZipArchive } = await import(pathToFileURL(require.resolve("archiver")));

sharp.concurrency(1); // photos side by side use the cores better than threads within one
sharp.cache(false);

const prepared = (path) =>
  sharp(path)
    .rotate()
    .resize({ width: +side, height: +side, fit: "inside", withoutEnlargement: true })
    .toColourspace("srgb")
    .jpeg({ quality: 95, chromaSubsampling: "4:2:0" })
    .toBuffer();

const peakMib = () => +readFileSync("/proc/self/status", "utf8").match(/VmHWM:\s+(\d+)/)[1] / 1024;

for (const path of paths.slice(0, 5)) await prepared(path); // warm up
const cpu = process.cpuUsage();
const began = process.hrtime.bigint();
const zip = new ZipArchive({ store: true });
const file = createWriteStream(target);
zip.pipe(file);
const ahead = [];
for (let place = 0; place < paths.length; place++) {
  while (ahead.length < +threads && place + ahead.length < paths.length) {
    ahead.push(prepared(paths[place + ahead.length]));
  }
  zip.append(await ahead.shift(), { name: `image_${String(place + 1).padStart(3, "0")}.jpg` });
}
await zip.finalize();
if (!file.closed) await once(file, "close");
const { user, system } = process.cpuUsage(cpu);
const wall_s = Number(process.hrtime.bigint() - began) / 1e9;
console.log(JSON.stringify({ cpu_s: (user + system) / 1e6, wall_s, peak_mib: peakMib() }));
