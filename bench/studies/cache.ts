/** Downloads of one file from the disk cache, from what it stands for, and while it is filled. */
import {
  type DownloadGroup,
  figuresOf,
  measureGroups,
  rowName,
  tableAgainstFirst,
} from "../downloads/groups.ts";
import { downleaseCache, downleaseFiles, downleaseFilling } from "../downloads/servers.ts";
import { ratioGoal } from "../goals.ts";
import { nginx } from "../needs.ts";
import type { Study } from "../study.ts";

const cacheGroup: DownloadGroup = {
  name: "cache",
  title: "One download at a time, with a disk cache for object storage",
  version: 1,
  parallel: 1,
  servers: [downleaseFiles, downleaseCache, downleaseFilling],
};

const labels = ["from a directory", "from the cache", "from object storage, filling the cache"];

export const cacheStudy: Study = {
  name: "cache",
  description: "downloads from a disk cache for object storage, and while it is filled",
  budgetSeconds: 32,
  tables: [cacheGroup.name],
  goals: [
    ratioGoal({
      what: "one download from the disk cache: server CPU of a GiB against a directory",
      target: "≤ 1.3",
      metric: "cpu",
      row: rowName(cacheGroup.name, downleaseCache),
      against: rowName(cacheGroup.name, downleaseFiles),
      beside: { metric: "rate", name: "rate" },
    }),
  ],
  needs: [nginx],
  async run(bench) {
    const measured = await measureGroups([cacheGroup], bench);
    return {
      tables: [tableAgainstFirst(cacheGroup, measured.get(cacheGroup)!, labels)],
      figures: figuresOf(measured),
    };
  },
};
