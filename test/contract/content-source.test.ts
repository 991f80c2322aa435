import { contentSourceContract } from "./content-source.ts";
import { directoryStorage } from "./content-source-directory.ts";
import { contentFilesContract } from "./content-source-files.ts";
import { s3Storage } from "./content-source-s3.ts";

contentSourceContract("directory", directoryStorage);
contentFilesContract("directory", directoryStorage);

contentSourceContract("S3", () => s3Storage());
contentFilesContract("S3", () => s3Storage());
