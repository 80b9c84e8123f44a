/* Uploading documents: what is sent, how far the server is with it, and what became of each file. */

import {
  announce, audiences, badge, build, button, call, confirmed, dayTime, empty, failure, Failure, field,
  headers, kinds, linkTo, note, said, says, select, size, t, table, toSignIn,
} from "./knowledge-kit.js";

const ADDRESS = "/v1/knowledge/uploads";
const POLL_MS = 800;
const OVER = ["done", "failed", "cancelled"];

export async function showUpload(place, { signal, mayChange }) {
  const recent = build("div", { id: "uploads" });
  const limits = await call(ADDRESS, { signal });
  const { products } = await call("/v1/knowledge/documents", { signal });
  if (mayChange) place.append(sender(limits, products, recent, signal));
  else place.append(note(t("upload.forbidden")));
  place.append(build("section", {}, build("h2", {}, t("upload.recent")), recent));
  if (!limits.uploads.length) recent.append(empty(t("upload.none")));
  for (const upload of limits.uploads) follow(recent.appendChild(card()), upload, mayChange, signal);
}

// Choosing and sending

function sender(limits, products, recent, signal) {
  const chosen = [];
  const input = build("input", { type: "file", multiple: true, accept: [...limits.formats, ".jsonl"].join(","), class: "unseen", id: "files" });
  const pick = build("label", { for: "files", class: "plain as-button" }, t("upload.pick"));
  const zone = build(
    "div",
    { class: "drop" },
    build("p", {}, t("upload.drop")),
    input,
    pick,
    build(
      "p",
      { class: "small" },
      t("upload.limits", { mb: limits.max_file_mb, files: limits.max_files, formats: limits.formats.join(" ") }),
    ),
  );
  const list = build("ul", { class: "files" });
  const told = build("div", { tabindex: "-1" });
  const options = {
    kind: select(kinds(t("upload.as_found"))),
    product: select([["", t("upload.as_found")], ...Object.entries(products)]),
    audience: select(audiences(t("upload.as_found"))),
    effective_from: build("input", { type: "date" }),
    effective_to: build("input", { type: "date" }),
  };
  const send = button(t("upload.send", { count: 0 }), { class: "strong", disabled: true }, start);

  function refuse(file) {
    const suffix = file.name.slice(file.name.lastIndexOf(".")).toLowerCase();
    if (file.size > limits.max_file_mb * 2 ** 20) return t("reason.too_large");
    if (file.name !== "manifest.jsonl" && !limits.formats.includes(suffix)) return t("reason.format_unknown");
    return file.size ? "" : t("reason.empty");
  }

  function add(files) {
    for (const file of files) {
      const same = chosen.findIndex((other) => other.name === file.name);
      if (same >= 0) chosen.splice(same, 1);
      chosen.push(file);
    }
    refresh();
  }

  function refresh() {
    list.replaceChildren(
      ...chosen.map((file) => {
        const refused = refuse(file);
        const remove = button(t("upload.remove"), { class: "quiet", "aria-label": t("upload.remove.file", { name: file.name }) }, () => {
          chosen.splice(chosen.indexOf(file), 1);
          refresh();
          pick.focus();
        });
        return build(
          "li",
          {},
          build("span", { class: "name" }, file.name),
          build("span", { class: "small figures" }, size(file.size)),
          refused ? badge("skipped", refused) : "",
          remove,
        );
      }),
    );
    const count = chosen.filter((file) => !refuse(file)).length;
    send.textContent = t("upload.send", { count });
    send.disabled = !count;
    const many = chosen.length > limits.max_files;
    if (many) send.disabled = true;
    told.replaceChildren(...(many ? [note(t("failed.too_many_files"), "stale")] : []));
  }

  function start() {
    const form = new FormData();
    for (const [name, control] of Object.entries(options)) {
      if (control.value) form.append(name, control.value);
    }
    for (const file of chosen.filter((one) => !refuse(one))) form.append("files", file, file.name);
    send.disabled = true;
    const bar = build("progress", { max: "1", value: "0", "aria-label": t("upload.sending") });
    const share = build("span", { class: "figures" }, "0 %");
    const request = new XMLHttpRequest();
    const stop = button(t("cancel"), { class: "plain" }, () => request.abort());
    told.replaceChildren(build("div", { class: "row" }, t("upload.sending"), bar, share, stop));
    // Not the button, which a second press would hit. Who goes elsewhere meanwhile stays there.
    told.focus();
    const isHere = () => told.contains(document.activeElement);
    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable) return;
      bar.value = event.loaded / event.total;
      share.textContent = `${Math.floor((100 * event.loaded) / event.total)} %`;
    });
    const failed = (error) => {
      send.disabled = false;
      if (isHere()) send.focus();
      told.replaceChildren(failure(error));
    };
    request.addEventListener("error", () => failed(new Failure(0, { code: "offline" })));
    request.addEventListener("abort", () => {
      send.disabled = false;
      if (isHere()) send.focus();
      refresh();
      told.replaceChildren(note(t("upload.stopped")));
      announce(t("upload.stopped"));
    });
    request.addEventListener("load", () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = {};
      }
      if (request.status === 401) toSignIn();
      if (request.status !== 202) {
        failed(new Failure(request.status, answer));
        return;
      }
      chosen.length = 0;
      input.value = "";
      recent.querySelector(".empty")?.remove();
      const made = card();
      recent.prepend(made);
      if (isHere()) made.focus();
      refresh();
      follow(made, answer, true, signal);
      announce(t("upload.sent"));
    });
    request.open("POST", ADDRESS);
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.send(form);
  }

  input.addEventListener("change", () => add(input.files));
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", (event) => {
    if (!zone.contains(event.relatedTarget)) zone.classList.remove("over");
  });
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    add(event.dataTransfer.files);
  });
  return build(
    "section",
    { class: "card" },
    zone,
    list,
    build(
      "details",
      {},
      build("summary", {}, t("upload.options")),
      build("p", { class: "small" }, t("upload.options.about")),
      build(
        "div",
        { class: "filters" },
        field(t("kind"), options.kind),
        field(t("product"), options.product),
        field(t("audience"), options.audience),
        field(t("upload.from"), options.effective_from),
        field(t("upload.to"), options.effective_to),
      ),
    ),
    build("div", { class: "row" }, send),
    told,
  );
}

// What became of it

function card() {
  return build("article", { class: "card upload", tabindex: "-1" });
}

/** Shows an upload, and asks for news of it until it is over or the view is left. */
async function follow(node, upload, mayChange, signal) {
  let state = "";
  let now = upload;
  while (!signal.aborted) {
    show(node, now, mayChange, signal);
    if (state && state !== now.state && OVER.includes(now.state)) announce(t(`upload.state.${now.state}`));
    state = now.state;
    if (OVER.includes(now.state)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    try {
      now = await call(`${ADDRESS}/${now.id}`, { signal });
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      // A server that is away for a moment goes on with the upload once it is back.
      if (error.status === 401 || error.status === 404) return;
    }
  }
}

function show(node, upload, mayChange, signal) {
  const counts = Object.entries(
    upload.files.reduce((all, file) => ({ ...all, [file.result]: (all[file.result] ?? 0) + 1 }), {}),
  );
  const over = OVER.includes(upload.state);
  const title = build(
    "div",
    { class: "between" },
    build(
      "p",
      { class: "row" },
      badge(upload.state, t(`upload.state.${upload.state}`)),
      dayTime(upload.created_at),
      over ? build("span", { class: "small" }, counts.map(([name, count]) => t(`result.count.${name}`, { count })).join(" · ")) : "",
    ),
  );
  if (!over && mayChange) {
    const stop = button(t("upload.cancel"), { class: "plain", disabled: upload.state === "cancelling" }, async () => {
      if (!(await confirmed(t("upload.cancel.title"), t("upload.cancel.text"), t("upload.cancel")))) return;
      try {
        await call(`${ADDRESS}/${upload.id}/cancel`, { method: "POST" });
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        node.append(failure(error));
      }
    });
    title.append(stop);
  }
  const parts = [title];
  if (!over) parts.push(progress(upload));
  if (upload.error) parts.push(note(t(`upload.error.${upload.error}`), "stale"));
  if (over) parts.push(results(upload));
  // What is open or focused inside stays so: the card is drawn anew on every piece of news.
  const pressed = node !== document.activeElement && node.contains(document.activeElement);
  node.replaceChildren(...parts);
  if (pressed) node.querySelector("button")?.focus();
}

function progress(upload) {
  const stage = upload.stage || (upload.state === "queued" ? "queued" : "read");
  const bar = build("progress", { "aria-label": t(`stage.${stage}`) });
  if (upload.total) {
    bar.max = upload.total;
    bar.value = upload.done;
  }
  const text =
    stage === "queued"
      ? t("stage.queued", { ahead: upload.ahead })
      : t(`stage.${stage}`) + (upload.total ? ` ${upload.done}/${upload.total}` : "");
  return build("div", { class: "row" }, bar, build("span", { class: "figures" }, text));
}

function results(upload) {
  const rows = upload.files.map((file) => {
    const inside = ["added", "changed", "unchanged"].includes(file.result);
    const reason = file.reason && (says(`reason.${file.reason}`) ? t(`reason.${file.reason}`) : said(file.reason));
    return {
      cells: [
        inside && upload.state === "done"
          ? build("a", { href: linkTo("documents", file.name) }, file.name)
          : file.name,
        build("span", { class: "figures" }, size(file.size)),
        badge(file.result, t(`result.${upload.state === "cancelled" && file.result === "waiting" ? "not_read" : file.result}`)),
        [reason || (file.warnings.length ? "" : "–"), ...file.warnings.map((warning) => build("p", { class: "small" }, said(warning)))],
      ],
    };
  });
  const columns = ["file", "size", "result", "reason"].map((name) => t(`column.${name}`));
  return table(t("upload.results"), columns, rows);
}
