#!/usr/bin/env node
// Runs the program of this system's package, as if it were this one: same input and output, signals, and end.
"use strict";

const { spawn } = require("node:child_process");
const { optionalDependencies } = require("./package.json");

const system = `-${process.platform}-${process.arch}`;
const carrier = Object.keys(optionalDependencies).find((name) => name.endsWith(system));
const program = find();

function find() {
  try {
    return require.resolve(`${carrier}/bin/s3dav`);
  } catch {
    const why = carrier
      ? `${carrier} is not installed\nhint: install again, without --omit=optional; on Linux it needs glibc`
      : `there is no package for ${process.platform} on ${process.arch}`;
    console.error(`error: ${why}`);
    process.exit(1);
  }
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
process.on("SIGTERM", () => child.kill("SIGTERM"));
// A terminal sends these to both: a second Ctrl-C would stop the program at once.
for (const signal of ["SIGHUP", "SIGINT"]) {
  process.on(signal, () => process.stdin.isTTY || child.kill(signal));
}
child.on("error", (error) => {
  console.error(`error: ${program} cannot be run: ${error.message}`);
  process.exit(1);
});
child.on("exit", (status, signal) => {
  if (signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  } else {
    process.exit(status);
  }
});
