// A press, or a plant with a past, a node and a browser for one test file; everything ends with it.
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const top = fileURLToPath(new URL("../..", import.meta.url));
const program = process.env.LOTLINE_BIN ?? path.join(top, "build", "lotline");
const patienceMs = 30_000;
const askAgainMs = 20;

export const pictures = path.join(top, "build", "screenshots");

export async function waitUntil(condition, what) {
  const deadline = Date.now() + patienceMs;
  let last;
  while (Date.now() < deadline) {
    try {
      last = await condition();
      if (last) return last;
    } catch (problem) {
      last = problem;
    }
    await new Promise((done) => setTimeout(done, askAgainMs));
  }
  throw new Error(`waited ${patienceMs} ms for ${what}; last seen: ${last}`);
}

export function freePort() {
  return new Promise((done) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

function start(log, ...words) {
  const out = fs.openSync(log, "a");
  const child = spawn(program, words.map(String), { stdio: ["ignore", out, out] });
  child.log = () => fs.readFileSync(log, "utf8");
  return child;
}

function connects(port) {
  return new Promise((done, failed) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      socket.destroy();
      done(true);
    });
    socket.on("error", failed);
  });
}

// The device's own word on a register: one Modbus read, made by hand.
export function readRegisters(port, first, count) {
  return new Promise((done, failed) => {
    const request = Buffer.from([0, 1, 0, 0, 0, 6, 1, 3, first >> 8, first & 255, 0, count]);
    let answer = Buffer.alloc(0);
    const socket = net.connect(port, "127.0.0.1", () => socket.write(request));
    socket.on("error", failed);
    socket.on("data", (data) => {
      answer = Buffer.concat([answer, data]);
      if (answer.length < 9 + 2 * count) return;
      socket.destroy();
      done(answer.subarray(9, 9 + 2 * count));
    });
  });
}

// One Modbus write, made by hand: a coil (5) or registers (16).
export function writeModbus(port, fn, address, value) {
  const body =
    fn === 5
      ? Buffer.from([value ? 255 : 0, 0])
      : Buffer.concat([Buffer.from([0, value.length / 2, value.length]), value]);
  const head = Buffer.from([0, 1, 0, 0, 0, 4 + body.length, 1, fn, address >> 8, address & 255]);
  return new Promise((done, failed) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write(Buffer.concat([head, body])));
    socket.on("error", failed);
    socket.once("data", (answer) => {
      socket.destroy();
      if (answer[7] === fn) done(true);
      else failed(new Error(`the server refused: ${answer.toString("hex")}`));
    });
  });
}

export class Plant {
  children = [];

  folder = fs.mkdtempSync(path.join(os.tmpdir(), "lotline-console-"));
  data = path.join(this.folder, "data");

  async open(config) {
    this.pressPort = await freePort();
    const press = start(path.join(this.folder, "press.log"), "sim", "press", "--port", this.pressPort);
    this.children.push(press);
    await waitUntil(() => connects(this.pressPort), "the press to listen");
    await this.openNode(config(this.pressPort));
    await this.openBrowser();
  }

  // A Modbus server of other people, whose coils and registers the test writes: its port.
  async openServer() {
    const port = await freePort();
    const file = (name) => path.join(this.folder, name);
    fs.writeFileSync(file("script.jsonl"), "");
    const words = ["--port", port, "--script", file("script.jsonl"), "--ledger", file("played.jsonl")];
    const program = path.join(top, "tests/e2e/support/pymodbus_server.py");
    const server = spawn("/usr/bin/python3", [program, ...words.map(String)], { stdio: "ignore" });
    this.children.push(server);
    await waitUntil(() => writeModbus(port, 5, 0, 0), "the server to listen");
    return port;
  }

  // The simulated plant tells what happened in it for so long until now, then ends; what is true of
  // that is in the ledger: {serial: line}.
  async openPast(length, scenario, seed) {
    const file = (name) => path.join(this.folder, name);
    const broker = `127.0.0.1:${await freePort()}`;
    fs.writeFileSync(file("scenario.yaml"), scenario);
    const line = start(
      file("plant.log"),
      ...["sim", "plant", "--port", 0, "--scenario", file("scenario.yaml"), "--seed", seed],
      ...["--config", file("plant.yaml"), "--ledger", file("ledger.jsonl"), "--files", file("files")],
      ...["--backfill", length, "--mqtt", broker, "--wait-mes", 3],
      ...["--token-file", path.join(this.data, "admin.token")],
    );
    this.children.push(line);
    const says = (text) => {
      if (line.exitCode !== null) throw new Error(`the plant ended: ${line.log()}`);
      return line.log().includes(text) && fs.existsSync(file("plant.yaml"));
    };
    await waitUntil(() => says("mes on"), "the plant to listen");
    const listen = `name: line1\nlisten: {mqtt: "${broker}", http: 127.0.0.1:0}\n`;
    await this.openNode(listen + fs.readFileSync(file("plant.yaml"), "utf8"));
    await waitUntil(() => says("the past is told"), "the past");
    line.kill("SIGTERM");
    await new Promise((done) => line.once("exit", done));
    const rows = fs.readFileSync(file("ledger.jsonl"), "utf8").trim().split("\n").map(JSON.parse);
    this.ledger = Object.fromEntries(rows.map((row) => [row.serial, row]));
    await this.openBrowser();
  }

  async openNode(text) {
    const file = path.join(this.folder, "lotline.yaml");
    fs.writeFileSync(file, text);
    const node = start(path.join(this.folder, "node.log"), "run", "-c", file, "--data", this.data);
    this.children.push(node);
    this.run = await waitUntil(() => {
      if (node.exitCode !== null) throw new Error(`the node ended: ${node.log()}`);
      return JSON.parse(fs.readFileSync(path.join(this.data, "run.json"), "utf8"));
    }, "the node to listen");
    this.token = fs.readFileSync(path.join(this.data, "admin.token"), "utf8").trim();
  }

  async openBrowser() {
    this.browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    fs.mkdirSync(pictures, { recursive: true });
  }

  async request(method, route, body) {
    return fetch(`http://${this.run.http}/api/v1${route}`, {
      method,
      headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
  }

  // A sign-in link that nobody has used yet.
  async link() {
    const answer = await this.request("POST", "/link", {});
    const text = await answer.text();
    if (!answer.ok) throw new Error(`no link: ${text}`);
    return JSON.parse(text).link;
  }

  async page(locale, timezoneId) {
    const context = await this.browser.newContext({
      locale,
      timezoneId,
      viewport: { width: 1280, height: 800 },
    });
    const page = await context.newPage();
    page.setDefaultTimeout(patienceMs);
    page.problems = [];
    page.on("pageerror", (problem) => page.problems.push(String(problem)));
    return page;
  }

  async close() {
    await this.browser?.close();
    for (const child of this.children.reverse()) {
      if (child.exitCode !== null) continue;
      child.kill("SIGTERM");
      await new Promise((done) => child.once("exit", done));
    }
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
