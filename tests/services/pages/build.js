"use strict";

const fs = require("fs");

fs.mkdirSync(".next/static", { recursive: true });
fs.writeFileSync(".next/BUILD_ID", `${Date.now()}\n`);
fs.writeFileSync(".next/static/page.html", `<main>${process.env.NEXT_PUBLIC_TITLE}</main>\n`);
