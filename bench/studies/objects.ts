/** Downloads of one file from a directory and from object storage, in turn. */
import {
  type DownloadGroup,
  figuresOf,
  measureGroups,
  rowName,
  tableAgainstFirst,
} from "../downloads/groups.ts";
import { downleaseFiles, downleaseObjects } from "../downloads/servers.ts";
import { ratioGoal } from "../goals.ts";
import { nginx } from "../needs.ts";
import type { Study } from "../study.ts";

const sources = ["from a directory", "from object storage"];

const group = (name: string, title: string, parallel: number): DownloadGroup => ({
  ...{ name, title, parallel },
  version: 1,
  servers: [downleaseFiles, downleaseObjects],
});

const objectGroups: readonly DownloadGroup[] = [
  group("objects", "One download at a time, from a directory and from object storage", 1),
  group("objects-16", "16 downloads at a time, from a directory and from object storage", 16),
];

export const objectsStudy: Study = {
  name: "objects",
  description: "downloads from object storage against a directory, one and 16 at a time",
  budgetSeconds: 46,
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
      tables: objectGroups.map((each) => tableAgainstFirst(each, measured.get(each)!, sources)),
      figures: figuresOf(measured),
    };
  },
};
