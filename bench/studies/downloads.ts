/** Downloads of one file from each server in turn. */
import {
  type DownloadGroup,
  type DownloadRound,
  figuresOf,
  measureGroups,
  rowName,
} from "../downloads/groups.ts";
import {
  downleaseFiles,
  type FileServer,
  nginxCopying,
  nginxSendfile,
  nodeFile,
} from "../downloads/servers.ts";
import { fixed, times } from "../formats.ts";
import { ratioGoal, valueGoal } from "../goals.ts";
import { nginx } from "../needs.ts";
import { median, ratio, type Spread, spread } from "../statistics.ts";
import type { Study, Table } from "../study.ts";

export const downloadGroups: readonly DownloadGroup[] = [
  {
    name: "download",
    title: "One download at a time, HTTP/1.1",
    version: 1,
    parallel: 1,
    servers: [nginxCopying, nginxSendfile, nodeFile, downleaseFiles],
  },
  {
    name: "downloads-64",
    title: "64 downloads at a time, HTTP/1.1",
    version: 1,
    parallel: 64,
    servers: [nginxCopying, nginxSendfile, downleaseFiles],
  },
  {
    name: "download-http2",
    title: "One download at a time, HTTP/2 without TLS",
    version: 2,
    parallel: 1,
    servers: [nginxCopying, downleaseFiles],
  },
];

export const downloadsStudy: Study = {
  name: "downloads",
  description: "downloads of a file of 1 GiB against nginx, one and 64 at a time",
  budgetSeconds: 88,
  tables: downloadGroups.map(({ name }) => name),
  goals: [
    downloadGoal("one download", "download", "rate", nginxCopying, "≥ 0.6"),
    downloadGoal("one download", "download", "rate", nginxSendfile, "≥ 0.6"),
    downloadGoal("one download", "download", "cpu", nginxCopying, "≤ 1.5"),
    downloadGoal("64 downloads at a time", "downloads-64", "cpu", nginxCopying, "≤ 1.5"),
    valueGoal({
      what: "64 downloads of 1 GiB at a time: peak memory",
      target: "< 200 MiB",
      metric: "peak",
      rows: [rowName("downloads-64", downleaseFiles)],
      digits: 0,
      ofMaximum: true,
    }),
  ],
  needs: [nginx],
  async run(bench) {
    const measured = await measureGroups(downloadGroups, bench);
    return {
      tables: downloadGroups.map((group) => tableOf(group, measured.get(group)!)),
      figures: figuresOf(measured),
    };
  },
};

function downloadGoal(
  what: string,
  group: string,
  metric: "rate" | "cpu",
  theirs: FileServer,
  target: string,
) {
  return ratioGoal({
    what: `${what}: ${metric === "rate" ? "rate" : "server CPU of a GiB"} against ${theirs.name}`,
    target,
    metric,
    row: rowName(group, downleaseFiles),
    against: rowName(group, theirs),
  });
}

function tableOf(group: DownloadGroup, measured: readonly (readonly DownloadRound[])[]): Table {
  const pick = (rounds: readonly DownloadRound[], key: keyof DownloadRound) =>
    rounds.map((round) => round[key]);
  const [copying, sendfile] = [nginxCopying, nginxSendfile].map(
    (server) => measured[group.servers.indexOf(server)],
  );
  return {
    name: group.name,
    title: group.title,
    header: [
      "",
      "GiB/s",
      "spread",
      "server CPU s/GiB",
      "peak memory MiB",
      "client CPU s/GiB",
      "rate ratio",
      "CPU ratio",
      ...(sendfile === undefined ? [] : ["CPU ratio to sendfile on"]),
    ],
    rows: group.servers.map((server, index) => {
      const rounds = measured[index]!;
      const against = (others: readonly DownloadRound[], key: keyof DownloadRound): Spread =>
        ratio(pick(rounds, key), pick(others, key));
      return [
        server.name,
        median(pick(rounds, "rate")).toFixed(2),
        fixed(spread(pick(rounds, "rate"))),
        median(pick(rounds, "cpu")).toFixed(2),
        Math.max(...pick(rounds, "peak")).toFixed(0),
        median(pick(rounds, "clientCpu")).toFixed(2),
        times(against(copying!, "rate")),
        times(against(copying!, "cpu")),
        ...(sendfile === undefined ? [] : [times(against(sendfile, "cpu"))]),
      ];
    }),
  };
}
