/** Downloads of one file from a directory and from object storage, in turn. */
import {
  type DownloadGroup,
  type DownloadRound,
  figuresOf,
  measureGroups,
  rowName,
} from "../downloads/groups.ts";
import { downleaseFiles, downleaseObjects } from "../downloads/servers.ts";
import { fixed, times } from "../formats.ts";
import { ratioGoal } from "../goals.ts";
import { nginx } from "../needs.ts";
import { median, ratio, spread } from "../statistics.ts";
import type { Study, Table } from "../study.ts";

const group = (name: string, title: string, parallel: number): DownloadGroup => ({
  ...{ name, title, parallel },
  version: 1,
  servers: [downleaseFiles, downleaseObjects],
});

export const objectGroups: readonly DownloadGroup[] = [
  group("objects", "One download at a time, from a directory and from object storage", 1),
  group("objects-16", "16 downloads at a time, from a directory and from object storage", 16),
];

export const objectsStudy: Study = {
  name: "objects",
  description: "downloads from object storage against a directory, one and 16 at a time",
  budgetSeconds: 50,
  tables: objectGroups.map(({ name }) => name),
  goals: objectGroups.map(({ name, parallel }) =>
    ratioGoal({
      what: `${parallel === 1 ? "one download" : `${parallel} downloads at a time`} from object storage: server CPU of a GiB against a directory`,
      target: "≤ 2",
      metric: "cpu",
      row: rowName(name, downleaseObjects),
      against: rowName(name, downleaseFiles),
      beside: { metric: "rate", name: "rate" },
    }),
  ),
  needs: [nginx],
  async run(bench) {
    const measured = await measureGroups(objectGroups, bench);
    return {
      tables: objectGroups.map((each) => tableOf(each, measured.get(each)!)),
      figures: figuresOf(measured),
    };
  },
};

function tableOf(
  { name, title, servers }: DownloadGroup,
  measured: readonly (readonly DownloadRound[])[],
): Table {
  const pick = (rounds: readonly DownloadRound[], key: keyof DownloadRound) =>
    rounds.map((round) => round[key]);
  return {
    name,
    title,
    header: ["", "GiB/s", "spread", "server CPU s/GiB", "peak memory MiB", "rate ratio", "CPU ratio"],
    rows: servers.map((server, index) => {
      const rounds = measured[index]!;
      const against = (key: keyof DownloadRound) => ratio(pick(rounds, key), pick(measured[0]!, key));
      return [
        server === downleaseFiles ? "from a directory" : "from object storage",
        median(pick(rounds, "rate")).toFixed(2),
        fixed(spread(pick(rounds, "rate"))),
        median(pick(rounds, "cpu")).toFixed(2),
        Math.max(...pick(rounds, "peak")).toFixed(0),
        times(against("rate")),
        times(against("cpu")),
      ];
    }),
  };
}
