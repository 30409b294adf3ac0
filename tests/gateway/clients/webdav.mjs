// The npm package "webdav". Arguments: where it is installed, and the URL.
import assert from "node:assert";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [installed, url] = process.argv.slice(2);
const main = createRequire(installed + "/").resolve("webdav");
const { createClient } = await import(pathToFileURL(main));
// Without a URL: whether the package is there.
if (url === undefined) process.exit();
const client = createClient(url);

await client.createDirectory("/npm");
await client.putFileContents("/npm/grüße & co.txt", "content");
assert.equal(await client.getFileContents("/npm/grüße & co.txt", { format: "text" }), "content");
await client.copyFile("/npm/grüße & co.txt", "/npm/copied.txt");
await client.moveFile("/npm/copied.txt", "/npm/moved.txt");
const names = (await client.getDirectoryContents("/npm")).map((entry) => entry.basename).sort();
assert.deepEqual(names, ["grüße & co.txt", "moved.txt"]);
const stat = await client.stat("/npm/moved.txt");
assert.equal(stat.size, 7);
assert.equal(stat.type, "file");
assert.equal(await client.exists("/npm/none"), false);
const lock = await client.lock("/npm/moved.txt");
await client.unlock("/npm/moved.txt", lock.token);
const large = Buffer.alloc(3_000_000, 7);
await client.putFileContents("/npm/large", large);
assert.ok(large.equals(await client.getFileContents("/npm/large")));
await client.deleteFile("/npm");
assert.equal(await client.exists("/npm"), false);
