import os

from flask import Flask, jsonify, render_template, request, session

app = Flask(__name__, template_folder=os.environ["TEMPLATES"])
# The other contenders send the last line break of a page; Jinja would drop it.
app.jinja_env.keep_trailing_newline = True
app.secret_key = os.environ["SECRET_KEY"]


@app.get("/")
def home():
    if "client_name" in session:
        return render_template("logged_in.html", name=session["client_name"])
    return render_template("anonymous.html")


@app.get("/verify")
def verify():
    return "", 204 if "client_name" in session else 401


@app.post("/visits")
def change():
    session["visits"] = request.json["visits"]
    return "", 204


@app.get("/visits")
def value():
    return jsonify(visits=session.get("visits"))


@app.post("/login")
def login():
    session["client_name"] = request.json["client_name"]
    return ""


@app.post("/logout")
def logout():
    session.pop("client_name", None)
    session.pop("visits", None)
    return "", 204
