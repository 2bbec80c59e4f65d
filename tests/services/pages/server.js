"use strict";

const fs = require("fs");
const http = require("http");

const page = fs.readFileSync(".next/static/page.html");
http.createServer((request, response) => {
  if (request.url === "/revalidate") {
    fs.writeFileSync(".next/cache/page", page); // as Next.js keeps pages that it rendered again
  }
  response.end(request.url === "/" ? page : "ok");
}).listen(Number(process.env.PORT), process.env.HOST);
